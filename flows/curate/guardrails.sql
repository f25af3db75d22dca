-- Every verdict of a guardrail that people have judged too: a reviewer first, else a thumb, else a correction.
-- One row a verdict; `good` says what people think of the interaction.
WITH taken_back AS (
    SELECT retracts AS id FROM feedback WHERE retracts IS NOT NULL
    UNION
    SELECT supersedes AS id FROM feedback WHERE supersedes IS NOT NULL
),
standing AS (
    SELECT f.*
    FROM feedback AS f
    LEFT JOIN taken_back AS t ON f.id = t.id
    WHERE f.application = $application AND f.retracts IS NULL AND t.id IS NULL
),
people AS (
    SELECT interaction_id, kind AS judged_by,
           CASE WHEN kind = 'correction' THEN FALSE ELSE value >= 0.5 END AS good,
           row_number() OVER (
               PARTITION BY interaction_id
               ORDER BY CASE kind WHEN 'reviewer' THEN 0 WHEN 'thumb' THEN 1 ELSE 2 END, time DESC, id DESC
           ) AS place
    FROM standing
    WHERE kind IN ('reviewer', 'thumb', 'correction')
),
forgotten AS (
    SELECT DISTINCT subject FROM erasures WHERE application IS NULL OR application = $application
)
SELECT
    g.id AS feedback_id, g.source, g.label, g.value >= 0.5 AS passed, p.good, p.judged_by,
    i.id AS interaction_id, i.time, i.conversation_id, i.user_id, i.request_model, i.prompt_version, i.input_messages,
    i.output_messages, i.system_instructions, i.tool_definitions, i.training_consent,
    f.subject IS NOT NULL AS erased
FROM standing AS g
JOIN people AS p ON p.interaction_id = g.interaction_id AND p.place = 1
JOIN interactions AS i ON i.id = g.interaction_id AND i.application = $application
LEFT JOIN forgotten AS f ON f.subject = i.user_id
WHERE g.kind = 'guardrail'
ORDER BY i.id, g.id
