-- Dead letters as they are stored, of one topic and reason; empty text means any.
SELECT *
FROM stored_dead_letters
WHERE ($topic = '' OR kafka_topic = $topic) AND ($reason = '' OR reason = $reason)
