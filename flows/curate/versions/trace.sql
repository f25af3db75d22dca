-- The events that a dataset row came from, with their place in Kafka.
SELECT 'interactions' AS event, id, kafka_partition AS partition, kafka_offset AS offset, time
FROM interactions
WHERE id IN ($interaction, $other)
UNION ALL
SELECT 'feedback' AS event, id, kafka_partition AS partition, kafka_offset AS offset, time
FROM feedback
WHERE id = $feedback
ORDER BY time, id
