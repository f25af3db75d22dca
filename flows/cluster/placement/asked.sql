-- What was asked in some interactions, and how they failed.
SELECT interaction_id, text, mode FROM outcomes WHERE application = $application ORDER BY interaction_id
