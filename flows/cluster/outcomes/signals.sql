-- Feedback that stands, one row a voice: what one unit (or one judge) said last, in one way, of one interaction.
-- A pure function of the set of events: their order, their copies and their delays change nothing.
--   said       the newest of several
--   elsewhere  what the same units said of interactions that are not asked for: (interaction_id, unit, asked)
--   ranked     how many interactions of one day the same unit has judged, in an order that nobody can choose
WITH said AS (
    SELECT f.interaction_id, f.kind, f.source, f.unit, f.value, f.label, f.voice, i.time AS asked,
           row_number() OVER (PARTITION BY f.interaction_id, f.kind, f.source, f.unit, f.label
                              ORDER BY f.time DESC, f.id DESC) AS newest
    FROM standing_feedback AS f JOIN interactions AS i ON i.id = f.interaction_id
    WHERE f.application = $application AND i.application = $application
), judged AS (
    SELECT interaction_id, kind, source, unit, value, label, voice, asked FROM said WHERE newest = 1
    UNION ALL
    SELECT interaction_id, NULL, NULL, unit, NULL, NULL, 'explicit', asked FROM elsewhere
), ranked AS (
    SELECT *, dense_rank() OVER (PARTITION BY unit, voice = 'verdict', CAST(asked AS DATE)
                                 ORDER BY md5(interaction_id), interaction_id) AS nth
    FROM judged
)
SELECT interaction_id, kind, source, unit, value, label, voice <> 'verdict' AS person,
       nth > $cap AND voice <> 'verdict' AS over_cap
FROM ranked
WHERE kind IS NOT NULL
ORDER BY interaction_id, kind, source NULLS LAST, unit, label NULLS LAST
