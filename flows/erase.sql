-- The stored raw rows that one subject's erasure removes, doubles and all, with their place in Kafka.
-- $application: empty means every application.
WITH gone AS (
    SELECT DISTINCT id, application, kafka_topic_id, kafka_partition, kafka_offset
    FROM stored_interactions
    WHERE user_id = $subject AND ($application = '' OR application = $application)
)
SELECT 'interactions' AS name, * FROM gone
UNION ALL
SELECT DISTINCT 'feedback' AS name, id, application, kafka_topic_id, kafka_partition, kafka_offset
FROM stored_feedback
WHERE (user_id = $subject AND ($application = '' OR application = $application))
   OR interaction_id IN (SELECT id FROM gone)
ORDER BY name, kafka_topic_id, kafka_partition, kafka_offset
