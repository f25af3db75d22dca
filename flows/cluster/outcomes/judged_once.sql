-- How many interactions have an outcome: each has one row that it was judged in first.
SELECT count(*) AS interactions
FROM stored_outcomes
WHERE application = $application AND revision = 0 AND run_id IN (SELECT run_id FROM stored_runs)
