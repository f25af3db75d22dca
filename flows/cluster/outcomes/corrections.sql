-- What people wrote in place of answers, one row an interaction: a reviewer's word before others', the newest of each.
WITH said AS (
    SELECT f.interaction_id, f.text,
           row_number() OVER (PARTITION BY f.interaction_id
                              ORDER BY CASE WHEN f.source LIKE 'reviewer:%' THEN 0 ELSE 1 END, f.time DESC, f.id DESC) AS nth
    FROM standing_feedback AS f
    WHERE f.application = $application AND f.kind = 'correction' AND f.text IS NOT NULL
)
SELECT i.id, i.output_messages, s.text
FROM said AS s JOIN interactions AS i ON i.id = s.interaction_id
WHERE s.nth = 1 AND i.application = $application
  AND NOT EXISTS (SELECT 1 FROM forgotten_interactions AS f WHERE f.id = i.id)
