-- Every offset between the first and the committed one of a Kafka partition is a row or a dead letter, once.
-- One row per place where that is not so: `gap` where offsets are missing, `twice` where they overlap.
-- A partition is looked at from its start on; what lies before it was found whole by an earlier audit.
WITH stored AS (
    SELECT coalesce(kafka_topic_id, '') AS topic_id, kafka_partition AS number, kafka_offset AS first,
           kafka_offset + 1 AS after
    FROM stored_rows
    UNION ALL
    SELECT coalesce(kafka_topic_id, ''), kafka_partition, kafka_offset, kafka_offset + coalesce(offsets, 1)
    FROM stored_letters
    WHERE kafka_topic = $topic
),
places AS (
    SELECT s.topic_id, s.number, s.first, s.after
    FROM stored AS s
    LEFT JOIN audited AS a ON a.topic_id = s.topic_id AND a.number = s.number
    WHERE s.after > coalesce(a.first, 0)
    UNION ALL
    SELECT topic_id, number, first, first FROM starts
    UNION ALL
    SELECT topic_id, number, after, after FROM committed
),
neighbours AS (
    SELECT topic_id, number, first, after,
        max(after) OVER (
            PARTITION BY topic_id, number ORDER BY first, after ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS reached
    FROM places
)
SELECT topic_id, number,
    CASE WHEN first > reached THEN 'gap' ELSE 'twice' END AS what,
    least(first, reached) AS first,
    CASE WHEN first > reached THEN first ELSE least(after, reached) END AS after
FROM neighbours
WHERE first > reached OR (first < reached AND after > first)
ORDER BY topic_id, number, first
