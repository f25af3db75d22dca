-- Interactions of one application, each once, without those that an erasure forgets, with what our own rules look at.
SELECT id, time, conversation_id, user_id, request_model, prompt_version, variant, error_type, finish_reasons,
       input_messages, output_messages, request_parameters
FROM interactions AS i
WHERE application = $application AND NOT EXISTS (SELECT 1 FROM forgotten_interactions AS f WHERE f.id = i.id)
