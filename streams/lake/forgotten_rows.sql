-- The stored raw rows that erasures remove, doubles and all, with their place in Kafka: what the person did, and feedback
-- by whomever on that, also on interactions that were erased before. A forgotten event takes its later copies with it.
-- Readers see the same before and after the rows are removed.
WITH own_interactions AS (
    SELECT i.id, i.application, i.kafka_topic_id, i.kafka_partition, i.kafka_offset
    FROM stored_interactions AS i
    JOIN forgotten AS w ON w.unit = i.unit AND (w.application IS NULL OR w.application = i.application)
    WHERE i.time <= w.until
),
own_feedback AS (
    SELECT f.id, f.application, f.kafka_topic_id, f.kafka_partition, f.kafka_offset
    FROM stored_feedback AS f
    JOIN forgotten AS w ON w.unit = f.unit AND (w.application IS NULL OR w.application = f.application)
    WHERE f.time <= w.until
),
forgotten_feedback AS (
    SELECT f.id
    FROM feedback AS f
    JOIN forgotten AS w ON w.unit = f.unit AND (w.application IS NULL OR w.application = f.application)
    WHERE f.time <= w.until
),
erased_before AS (
    SELECT detail AS id FROM stored_dead_letters
    WHERE reason = 'erased' AND detail IS NOT NULL AND detail NOT IN (SELECT id FROM interactions)
)
SELECT 'interactions' AS name, * FROM own_interactions
UNION
SELECT 'interactions' AS name, id, application, kafka_topic_id, kafka_partition, kafka_offset
FROM stored_interactions
WHERE id IN (SELECT id FROM forgotten_interactions)
UNION
SELECT 'feedback' AS name, * FROM own_feedback
UNION
SELECT 'feedback' AS name, id, application, kafka_topic_id, kafka_partition, kafka_offset
FROM stored_feedback
WHERE id IN (SELECT id FROM forgotten_feedback)
   OR interaction_id IN (SELECT id FROM forgotten_interactions)
   OR interaction_id IN (SELECT id FROM erased_before)
ORDER BY name, kafka_topic_id NULLS LAST, kafka_partition, kafka_offset
