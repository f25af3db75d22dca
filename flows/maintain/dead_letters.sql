-- Dead letters by topic and reason, the newest time of each.
SELECT kafka_topic, reason, CAST(sum(coalesce(offsets, 1)) AS BIGINT) AS offsets, max(ingested_at) AS newest
FROM dead_letters
GROUP BY kafka_topic, reason
ORDER BY kafka_topic, offsets DESC, reason
