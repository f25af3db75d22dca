-- Which units speak of some interactions, and the days of these.
SELECT DISTINCT f.interaction_id, f.unit, date_trunc('day', i.time) AS asked
FROM stored_feedback AS f JOIN interactions AS i ON i.id = f.interaction_id
WHERE i.application = $application
