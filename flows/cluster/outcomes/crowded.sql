-- Interactions of which somebody spoke who has judged more than the cap of that day's, now or before.
WITH crowded AS (
    SELECT unit, asked
    FROM (SELECT interaction_id, unit, asked FROM others UNION SELECT interaction_id, unit, asked FROM now)
    GROUP BY unit, asked
    HAVING count(*) > $cap
)
SELECT DISTINCT o.interaction_id AS id FROM others AS o JOIN crowded AS c ON c.unit = o.unit AND c.asked = o.asked
