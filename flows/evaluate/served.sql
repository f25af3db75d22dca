-- The interactions that some requests of a sample came from: what was answered there, and in which conversation.
SELECT id, application, conversation_id, output_messages
FROM interactions
WHERE application = $application AND id IN (SELECT explode($ids))
