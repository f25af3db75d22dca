-- Interactions that have no outcome.
SELECT DISTINCT id FROM stored_interactions
WHERE application = $application
  AND id NOT IN (SELECT interaction_id FROM outcomes WHERE application = $application)
