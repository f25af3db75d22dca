-- Every interaction that may become an example: it was judged, corrected, or answered again.
-- One row an interaction, with its outcome, its cluster as of run $outcome_run, and the feedback that stands; without what
-- was said, which is read where an example is made of it (`messages.sql`). Rows of a conversation follow one another.
-- What would have been right may say: whoever asked, a reviewer (by the event's source), and whom one cleared.
--   heard    feedback with who says it: `own`, `reviewed`; what neither is may be `cleared`, by its id
--   excluded what a reviewer wants no dataset to teach
--   praise   who found an answer good, where not the person who asked: it is told by them
WITH judged AS (
    SELECT * FROM outcomes WHERE application = $application
),
excluded AS (
    SELECT DISTINCT interaction_id
    FROM standing_feedback
    WHERE application = $application AND kind = 'label' AND label = 'exclude' AND source LIKE 'reviewer:%'
),
asked AS (
    SELECT i.*, o.outcome, o.score, f.id IS NOT NULL AS erased, x.interaction_id IS NOT NULL AS excluded
    FROM interactions AS i
    JOIN judged AS o ON o.interaction_id = i.id
    LEFT JOIN forgotten_interactions AS f ON f.id = i.id
    LEFT JOIN excluded AS x ON x.interaction_id = i.id
    WHERE i.application = $application
),
answers AS (
    SELECT * FROM asked WHERE NOT erased AND NOT excluded
),
heard AS (
    SELECT f.interaction_id, f.id, f.time, f.kind, f.text, f.replaced_by, f.good, f.voice,
           coalesce(f.source, '') LIKE 'reviewer:%' AS reviewed,
           CASE WHEN f.source LIKE 'reviewer:%' THEN f.source ELSE f.unit END AS told_by,
           coalesce(f.source, '') NOT LIKE 'reviewer:%'
               AND (f.unit = a.unit OR (nullif(f.user_id, '') IS NULL AND f.conversation_id = a.conversation_id)) AS own,
           c.id IS NOT NULL AS cleared
    FROM standing_feedback AS f
    JOIN asked AS a ON a.id = f.interaction_id
    LEFT JOIN cleared AS c ON c.id = f.id
    WHERE f.application = $application
),
corrections AS (
    SELECT *, row_number() OVER (PARTITION BY interaction_id ORDER BY reviewed DESC, time DESC, id DESC) AS place
    FROM heard
    WHERE kind = 'correction' AND (own OR reviewed OR cleared)
),
praise AS (
    SELECT interaction_id, bool_or(reviewed) AS reviewed,
           CASE WHEN NOT bool_or(own OR voice = 'verdict') THEN min(told_by) END AS told_by
    FROM heard
    WHERE good
    GROUP BY interaction_id
),
replacements AS (  -- somebody asked again, or an A/B test asked the same of two models
    SELECT interaction_id, id, replaced_by, 'regenerate' AS origin,
           row_number() OVER (PARTITION BY interaction_id ORDER BY time DESC, id DESC) AS place
    FROM heard
    WHERE replaced_by IS NOT NULL AND (own OR reviewed OR cleared)
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
    a.training_consent,
    a.outcome, a.score, coalesce(m.cluster_id, '') AS cluster_id,
    c.text AS correction, c.id AS correction_id, c.reviewed OR c.cleared AS correction_reviewed,
    CASE WHEN NOT c.own THEN c.told_by END AS corrected_by,
    p.reviewed AS praise_reviewed, p.told_by AS praised_by, v.id IS NOT NULL AS vouched,
    r.origin AS replacement_origin, r.id AS replacement_feedback_id, b.id AS replacement_id,
    b.outcome AS replacement_outcome, b.training_consent AS replacement_consent,
    a.erased, a.excluded
FROM asked AS a
LEFT JOIN members AS m ON m.interaction_id = a.id
LEFT JOIN corrections AS c ON c.interaction_id = a.id AND c.place = 1
LEFT JOIN praise AS p ON p.interaction_id = a.id
LEFT JOIN cleared AS v ON v.id = a.id
LEFT JOIN first_replacement AS r ON r.interaction_id = a.id AND r.choice = 1
LEFT JOIN answers AS b ON b.id = r.replaced_by AND b.unit = a.unit
WHERE a.outcome <> 'unknown' OR c.id IS NOT NULL
ORDER BY a.conversation_id, a.id
