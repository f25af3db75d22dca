-- Every interaction that may become an example: it was judged, corrected, or answered again.
-- One row an interaction, with its outcome in run $outcome_run, its cluster, and the feedback that stands.
WITH corrections AS (
    SELECT interaction_id, id, text,
           row_number() OVER (PARTITION BY interaction_id ORDER BY time DESC, id DESC) AS place
    FROM standing_feedback
    WHERE application = $application AND kind = 'correction'
),
judged AS (
    SELECT * FROM outcomes WHERE run_id = $outcome_run AND application = $application
),
asked AS (
    SELECT i.*, o.outcome, o.score, f.id IS NOT NULL AS erased
    FROM interactions AS i
    JOIN judged AS o ON o.interaction_id = i.id
    LEFT JOIN forgotten_interactions AS f ON f.id = i.id
    WHERE i.application = $application
),
answers AS (
    SELECT * FROM asked WHERE NOT erased
),
replacements AS (  -- somebody asked again, or an A/B test asked the same of two models
    SELECT interaction_id, id, replaced_by, 'regenerate' AS origin,
           row_number() OVER (PARTITION BY interaction_id ORDER BY time DESC, id DESC) AS place
    FROM standing_feedback
    WHERE application = $application AND replaced_by IS NOT NULL
    UNION ALL
    SELECT a.id AS interaction_id, CAST(NULL AS STRING) AS id, min(b.id) AS replaced_by, 'ab' AS origin,
           1000000 AS place
    FROM answers AS a
    JOIN answers AS b ON a.unit = b.unit AND a.input_messages = b.input_messages
    WHERE a.outcome = 'failed' AND b.outcome = 'ok'
      AND (coalesce(a.variant, '') <> coalesce(b.variant, '') OR a.request_model <> b.request_model)
    GROUP BY a.id
),
first_replacement AS (
    SELECT *, row_number() OVER (PARTITION BY interaction_id ORDER BY place) AS choice FROM replacements
),
members AS (
    SELECT m.interaction_id, max_by(coalesce(c.alias_of, m.cluster_id), coalesce(m.moves, 0)) AS cluster_id
    FROM cluster_members AS m
    LEFT JOIN clusters AS c ON c.cluster_id = m.cluster_id AND c.run_id = $outcome_run
    WHERE m.application = $application
    GROUP BY m.interaction_id
)
SELECT
    a.id AS interaction_id, a.time, a.conversation_id, a.user_id, a.request_model, a.prompt_version, a.variant,
    a.input_messages, a.output_messages, a.system_instructions, a.tool_definitions, a.training_consent,
    a.outcome, a.score, coalesce(m.cluster_id, '') AS cluster_id,
    c.text AS correction, c.id AS correction_id,
    r.origin AS replacement_origin, r.id AS replacement_feedback_id, b.id AS replacement_id,
    b.input_messages AS replacement_input, b.output_messages AS replacement_output, b.outcome AS replacement_outcome,
    b.training_consent AS replacement_consent,
    a.erased
FROM asked AS a
LEFT JOIN members AS m ON m.interaction_id = a.id
LEFT JOIN corrections AS c ON c.interaction_id = a.id AND c.place = 1
LEFT JOIN first_replacement AS r ON r.interaction_id = a.id AND r.choice = 1
LEFT JOIN answers AS b ON b.id = r.replaced_by AND b.unit = a.unit
WHERE a.outcome <> 'unknown' OR c.id IS NOT NULL
ORDER BY a.id
