-- What units judged on days, as far as it is known: rows of `pairs`, one for each interaction.
WITH spoken AS (
    SELECT interaction_id, explode(speakers) AS unit, date_trunc('day', time) AS asked
    FROM outcomes
    WHERE application = $application AND speakers IS NOT NULL
)
SELECT DISTINCT s.interaction_id, s.unit, s.asked
FROM spoken AS s JOIN pairs AS p ON p.unit = s.unit AND p.asked = s.asked
