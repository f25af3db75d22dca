-- Who was heard of a cluster's failures from $since on, and whether they are strangers: in the windows from $first to
-- $since they neither asked nor were heard.
WITH homes AS (
{homes}), heard AS (
    SELECT DISTINCT h.cluster_id, s.unit
    FROM (
        SELECT interaction_id, explode(speakers) AS unit
        FROM outcomes
        WHERE application = $application AND outcome = 'failed' AND time >= $since
    ) AS s
    JOIN homes AS h ON h.interaction_id = s.interaction_id
), seen AS (  -- of these alone: all units of some weeks would be as many as there are users
    SELECT unit FROM outcomes
    WHERE application = $application AND time >= $first AND time < $since AND unit IN (SELECT unit FROM heard)
    UNION
    SELECT e.unit
    FROM (
        SELECT explode(speakers) AS unit FROM outcomes
        WHERE application = $application AND time >= $first AND time < $since
    ) AS e
    WHERE e.unit IN (SELECT unit FROM heard)
)
SELECT h.cluster_id, s.unit IS NULL AS fresh
FROM heard AS h LEFT JOIN seen AS s ON s.unit = h.unit
ORDER BY h.cluster_id, h.unit
