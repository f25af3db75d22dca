-- The interactions of one application, each once, without those whose person asked to be forgotten.
SELECT id, time, conversation_id, user_id, request_model, prompt_version, variant, error_type, finish_reasons,
       input_messages, output_messages, request_parameters, duration_ms
FROM interactions AS i
WHERE application = $application
  AND NOT EXISTS (
      SELECT 1 FROM erasures AS e
      WHERE e.subject = i.user_id AND (e.application IS NULL OR e.application = i.application) AND i.time <= e.time
  )
ORDER BY id
