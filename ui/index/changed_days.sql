-- The days of interactions whose outcome is another one now.
SELECT DISTINCT (i.time + 86400000) / 86400000 - 1 FROM judged AS j JOIN interaction AS i ON i.id = j.id
WHERE i.outcome IS NOT j.outcome
