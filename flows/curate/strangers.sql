-- Corrections that wait for a reviewer: somebody corrected an answer to somebody else, and nobody vouched for it.
SELECT f.interaction_id, f.id AS feedback_id, f.unit
FROM standing_feedback AS f
JOIN interactions AS i ON i.id = f.interaction_id AND i.application = $application
WHERE f.application = $application AND f.kind = 'correction' AND coalesce(f.source, '') NOT LIKE 'reviewer:%' AND f.unit <> i.unit
  AND (nullif(f.user_id, '') IS NOT NULL OR f.conversation_id <> i.conversation_id)
  AND NOT EXISTS (SELECT 1 FROM cleared AS c WHERE c.id = f.id)
ORDER BY f.interaction_id, f.id
