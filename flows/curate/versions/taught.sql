-- Where in Kafka the events lie that taught a model ($ids in the table `taught`), by topic and partition.
SELECT 'interactions' AS event, kafka_topic_id AS topic_id, kafka_partition AS partition,
       min(kafka_offset) AS first_offset, max(kafka_offset) AS last_offset, count(*) AS events
FROM interactions
WHERE id IN (SELECT id FROM taught)
GROUP BY kafka_topic_id, kafka_partition
UNION ALL
SELECT 'feedback' AS event, kafka_topic_id AS topic_id, kafka_partition AS partition,
       min(kafka_offset) AS first_offset, max(kafka_offset) AS last_offset, count(*) AS events
FROM feedback
WHERE id IN (SELECT id FROM taught)
GROUP BY kafka_topic_id, kafka_partition
ORDER BY event DESC, topic_id, partition
