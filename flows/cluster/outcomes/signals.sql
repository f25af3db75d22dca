-- Feedback that still stands, one row a voice: what one subject (or one judge) said last, in one way, of one interaction.
-- A pure function of the set of events: their order, their copies and their delays change nothing.
--   gone    superseded or taken back by the same source; a chain does not resurrect what an earlier link removed
--   voices  the newest of several; a subject is the user, or the conversation where no user is known
--   ranked  how many interactions of one day the same subject has judged, in an order that nobody can choose
WITH mine AS (
    SELECT f.id, f.time, f.interaction_id, f.kind, f.source, f.user_id, f.value, f.label, f.retracts, f.supersedes,
           f.kind IN ('guardrail', 'judge', 'rule', 'reviewer') AS verdict,
           coalesce(f.user_id, f.conversation_id) AS subject, i.time AS asked
    FROM feedback AS f JOIN interactions AS i ON i.id = f.interaction_id
    WHERE f.application = $application AND i.application = $application
), gone AS (
    SELECT old.id FROM mine AS old JOIN mine AS new
      ON new.interaction_id = old.interaction_id AND new.source = old.source
     AND (new.supersedes = old.id OR new.retracts = old.id)
     AND (new.user_id = old.user_id OR new.user_id IS NULL OR old.user_id IS NULL)
), voices AS (
    SELECT *, row_number() OVER (PARTITION BY interaction_id, kind, source, subject, label
                                 ORDER BY time DESC, id DESC) AS newest
    FROM mine
    WHERE retracts IS NULL AND id NOT IN (SELECT id FROM gone)
), ranked AS (
    SELECT *, dense_rank() OVER (PARTITION BY subject, verdict, CAST(asked AS DATE)
                                 ORDER BY md5(interaction_id), interaction_id) AS nth
    FROM voices WHERE newest = 1
)
SELECT interaction_id, kind, source, subject, value, label,
       nth > $cap AND NOT verdict AS over_cap
FROM ranked
ORDER BY interaction_id, kind, source, subject, label
