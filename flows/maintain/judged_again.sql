-- Interactions that finished runs have judged more than once, by id.
SELECT DISTINCT interaction_id AS id
FROM stored_outcomes
WHERE revision > 0 AND run_id IN (SELECT run_id FROM stored_runs)
ORDER BY id
