-- Every verdict of a guardrail that people have judged too: a reviewer first, else a thumb, else a correction.
-- One row a verdict; `good` says what people think of the interaction. Who says neither good nor bad is not heard, and
-- what a reviewer excluded is `excluded`.
WITH people AS (
    SELECT interaction_id, kind AS judged_by, good,
           row_number() OVER (
               PARTITION BY interaction_id
               ORDER BY CASE kind WHEN 'reviewer' THEN 0 WHEN 'thumb' THEN 1 ELSE 2 END, time DESC, id DESC
           ) AS place
    FROM standing_feedback
    WHERE application = $application AND kind IN ('reviewer', 'thumb', 'correction') AND good IS NOT NULL
),
excluded AS (
    SELECT DISTINCT interaction_id
    FROM standing_feedback
    WHERE application = $application AND kind = 'label' AND label = 'exclude' AND source LIKE 'reviewer:%'
)
SELECT
    g.id AS feedback_id, g.source, g.label, g.good AS passed, p.good, p.judged_by,
    i.id AS interaction_id, i.time, i.conversation_id, i.user_id, i.request_model, i.prompt_version, i.training_consent,
    x.interaction_id IS NOT NULL AS excluded
FROM standing_feedback AS g
JOIN people AS p ON p.interaction_id = g.interaction_id AND p.place = 1
JOIN interactions AS i ON i.id = g.interaction_id AND i.application = $application
LEFT JOIN excluded AS x ON x.interaction_id = g.interaction_id
WHERE g.application = $application AND g.kind = 'guardrail' AND g.good IS NOT NULL
ORDER BY i.id, g.id
