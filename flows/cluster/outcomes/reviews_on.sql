-- What reviewers say of some interactions: their verdict, or that they cannot tell; of each the newest.
WITH said AS (
    SELECT f.interaction_id, f.source, f.kind, f.value, f.label,
           row_number() OVER (PARTITION BY f.interaction_id, f.source, f.unit ORDER BY f.time DESC, f.id DESC) AS newest
    FROM standing_feedback AS f JOIN interactions AS i ON i.id = f.interaction_id
    WHERE f.application = $application AND i.application = $application AND f.source LIKE 'reviewer:%'
      AND (f.kind = 'reviewer' OR (f.kind = 'label' AND f.label = 'cannot_tell'))
)
SELECT interaction_id, source, kind, value, label
FROM said
WHERE newest = 1
ORDER BY interaction_id, source, kind
