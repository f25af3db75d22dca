-- The newest outcomes of interactions, with all that they rest on.
SELECT interaction_id, time, conversation_id, user_id, request_model, prompt_version, variant, outcome, reasons, signals,
       text, revision, voices, found, speakers, left_out, own, edit, mode
FROM outcomes
WHERE application = $application
ORDER BY interaction_id
