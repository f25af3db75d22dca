-- Feedback among the rows that have come, by id.
SELECT DISTINCT id FROM stored_feedback WHERE application = $application
