-- The interactions of one application, each once, without those that an erasure forgets.
SELECT id, time, conversation_id, user_id, unit, request_model, prompt_version, variant, error_type, finish_reasons,
       input_messages, output_messages, request_parameters, duration_ms
FROM interactions AS i
WHERE application = $application AND NOT EXISTS (SELECT 1 FROM forgotten_interactions AS f WHERE f.id = i.id)
ORDER BY id
