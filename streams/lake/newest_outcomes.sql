-- The outcome of each interaction: of its rows the one with the highest revision, scored as its voices are by now.
-- Rows without a revision are from versions that judged everything in every run: their newest run holds, until a run of
-- this version has judged everything once more.
WITH legacy AS (
    SELECT r.application, max_by(r.run_id, coalesce(r.sequence, 0)) AS run_id
    FROM stored_runs AS r
    WHERE r.run_id IN (SELECT run_id FROM stored_outcomes WHERE revision IS NULL)
      AND r.application NOT IN (SELECT application FROM voices)
    GROUP BY r.application
),
finished AS (
    SELECT o.* FROM stored_outcomes AS o
    WHERE (o.revision IS NOT NULL AND o.run_id IN (SELECT run_id FROM stored_runs))
       OR (o.revision IS NULL AND o.run_id IN (SELECT run_id FROM legacy))
),
revised AS (
    SELECT application, interaction_id, max(revision) AS newest
    FROM finished
    WHERE revision > 0
    GROUP BY application, interaction_id
)
SELECT o.run_id, o.application, o.interaction_id, o.time, o.conversation_id, o.user_id, o.request_model,
       o.prompt_version, o.variant, o.outcome, coalesce(v.score, o.score) AS score, o.reasons, o.signals, o.text,
       o.revision, o.voices, o.found, o.speakers, o.left_out, o.own, o.edit, o.mode, o.unit
FROM finished AS o
LEFT JOIN revised AS r ON r.application = o.application AND r.interaction_id = o.interaction_id
LEFT JOIN voices AS v ON v.application = o.application AND v.voices = o.voices
WHERE coalesce(o.revision, 0) = coalesce(r.newest, 0)
