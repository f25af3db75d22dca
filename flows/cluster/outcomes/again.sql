-- The same of interactions that were judged before: what our own rules found in them is known.
SELECT id, time, conversation_id, user_id, request_model, prompt_version, variant
FROM interactions AS i
WHERE application = $application AND NOT EXISTS (SELECT 1 FROM forgotten_interactions AS f WHERE f.id = i.id)
