-- Interactions among the rows that have come, by id.
SELECT DISTINCT id FROM stored_interactions WHERE application = $application
