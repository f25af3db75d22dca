-- What was asked of two champions since a moment, as far as a watch counts it; oldest first, no more than `most`.
SELECT id, time, application, conversation_id, user_id, request_model, prompt_version, variant, error_type,
       kafka_time
FROM stored_interactions
WHERE application = $application AND ingest_date >= $day AND kafka_time >= $since
  AND request_model IN (SELECT explode($models))
ORDER BY kafka_time, kafka_partition, kafka_offset
LIMIT $most
