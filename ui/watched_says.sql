-- What was said of these interactions; of texts only that there was one, which a comment and a correction must have.
SELECT id, time, application, conversation_id, user_id, interaction_id, kind, source, value, label, supersedes, retracts,
       '-' AS text, kafka_time
FROM stored_feedback
WHERE application = $application AND ingest_date >= $day AND kafka_time >= $since AND kafka_time < $until
  AND interaction_id IN (SELECT explode($ids))
ORDER BY kafka_time, kafka_partition, kafka_offset
