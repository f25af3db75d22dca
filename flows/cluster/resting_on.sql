-- Interactions whose outcomes rest on what some people did: they spoke of them, or somebody who spoke of their own
-- interactions ($ids) has judged more than the cap of that day's.
WITH theirs AS (
    SELECT DISTINCT o.interaction_id, o.time, o.speakers
    FROM stored_outcomes AS o
    WHERE o.interaction_id IN (SELECT id FROM ids)
       OR o.interaction_id IN (
           SELECT interaction_id FROM (SELECT interaction_id, explode(speakers) AS unit FROM stored_outcomes)
           WHERE unit IN (SELECT unit FROM units)
       )
), days AS (
    SELECT DISTINCT unit, day FROM (SELECT explode(speakers) AS unit, CAST(time AS DATE) AS day FROM theirs)
), judged AS (
    SELECT DISTINCT interaction_id, explode(speakers) AS unit, CAST(time AS DATE) AS day FROM stored_outcomes
), crowded AS (
    SELECT j.unit, j.day FROM judged AS j JOIN days AS d ON d.unit = j.unit AND d.day = j.day
    GROUP BY j.unit, j.day HAVING count(*) > $cap
)
SELECT interaction_id AS id FROM theirs
UNION
SELECT j.interaction_id AS id FROM judged AS j JOIN crowded AS c ON c.unit = j.unit AND c.day = j.day
ORDER BY id
