-- Every interaction that may become an example: an ok outcome, or a correction, or another answer taken instead.
-- One row an interaction, with its outcome in run $outcome_run, its cluster, and the feedback that still stands.
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
corrections AS (
    SELECT interaction_id, id, text,
           row_number() OVER (PARTITION BY interaction_id ORDER BY time DESC, id DESC) AS place
    FROM standing
    WHERE kind = 'correction'
),
replacements AS (
    SELECT interaction_id, id, replaced_by,
           row_number() OVER (PARTITION BY interaction_id ORDER BY time DESC, id DESC) AS place
    FROM standing
    WHERE replaced_by IS NOT NULL
),
forgotten AS (
    SELECT DISTINCT subject FROM erasures WHERE application IS NULL OR application = $application
),
members AS (
    SELECT m.interaction_id, coalesce(c.alias_of, m.cluster_id) AS cluster_id
    FROM cluster_members AS m
    JOIN runs AS r ON r.run_id = m.run_id
    LEFT JOIN clusters AS c ON c.cluster_id = m.cluster_id AND c.run_id = $outcome_run
    WHERE m.application = $application
),
judged AS (
    SELECT * FROM outcomes WHERE run_id = $outcome_run AND application = $application
)
SELECT
    i.id AS interaction_id, i.time, i.conversation_id, i.user_id, i.request_model, i.prompt_version, i.variant,
    i.input_messages, i.output_messages, i.system_instructions, i.tool_definitions, i.training_consent, i.error_type,
    o.outcome, o.score, coalesce(m.cluster_id, '') AS cluster_id,
    c.text AS correction, c.id AS correction_id,
    r.id AS replacement_feedback_id, b.id AS replacement_id, b.input_messages AS replacement_input,
    b.output_messages AS replacement_output, bo.outcome AS replacement_outcome,
    f.subject IS NOT NULL AS erased
FROM interactions AS i
JOIN judged AS o ON o.interaction_id = i.id
LEFT JOIN members AS m ON m.interaction_id = i.id
LEFT JOIN corrections AS c ON c.interaction_id = i.id AND c.place = 1
LEFT JOIN replacements AS r ON r.interaction_id = i.id AND r.place = 1
LEFT JOIN interactions AS b ON b.id = r.replaced_by AND b.application = i.application
LEFT JOIN judged AS bo ON bo.interaction_id = b.id
LEFT JOIN forgotten AS f ON f.subject = i.user_id
WHERE i.application = $application
  AND (o.outcome <> 'unknown' OR c.id IS NOT NULL)
ORDER BY i.id
