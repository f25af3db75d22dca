-- Interactions that erasures forget, by id: those that are still stored, and those that were removed already.
SELECT id FROM forgotten_interactions
UNION
SELECT detail AS id FROM stored_dead_letters
WHERE reason = 'erased' AND detail IS NOT NULL AND detail NOT IN (SELECT id FROM interactions)
ORDER BY id
