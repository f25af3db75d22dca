-- The stored rows that erasures ask to remove, doubles and all: interactions of the subject, and feedback that the
-- subject gave or that was given on one of those interactions (also on ones erased before).
WITH wishes AS (
    SELECT DISTINCT subject, application, time FROM erasures
),
gone_interactions AS (
    SELECT DISTINCT i.id, i.kafka_topic_id, i.kafka_partition, i.kafka_offset
    FROM stored_interactions i
    JOIN wishes w ON i.user_id = w.subject AND (w.application IS NULL OR w.application = i.application)
    WHERE $refuse OR i.time <= w.time
),
gone_feedback AS (
    SELECT DISTINCT f.id, f.kafka_topic_id, f.kafka_partition, f.kafka_offset
    FROM stored_feedback f
    LEFT JOIN wishes w ON f.user_id = w.subject AND (w.application IS NULL OR w.application = f.application)
    WHERE (w.subject IS NOT NULL AND ($refuse OR f.time <= w.time))
        OR f.interaction_id IN (SELECT id FROM gone_interactions)
        OR f.interaction_id IN (SELECT detail FROM stored_dead_letters WHERE reason = 'erased')
)
SELECT 'interactions' AS name, * FROM gone_interactions
UNION ALL
SELECT 'feedback' AS name, * FROM gone_feedback
ORDER BY name, kafka_topic_id, kafka_partition, kafka_offset
