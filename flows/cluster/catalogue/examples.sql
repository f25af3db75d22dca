-- The newest distinct texts of each cluster's failures, where these are of $people people or more.
WITH homes AS (
{homes}), texts AS (
    SELECT h.cluster_id, o.text, max(o.time) AS time
    FROM outcomes AS o JOIN homes AS h ON h.interaction_id = o.interaction_id
    WHERE o.application = $application AND o.outcome = 'failed'
    GROUP BY h.cluster_id, o.text
), known AS (
    SELECT h.cluster_id
    FROM outcomes AS o JOIN homes AS h ON h.interaction_id = o.interaction_id
    WHERE o.application = $application AND o.outcome = 'failed'
    GROUP BY h.cluster_id
    HAVING count(DISTINCT o.unit) >= $people
), ranked AS (
    SELECT cluster_id, text, row_number() OVER (PARTITION BY cluster_id ORDER BY time DESC, text) AS nth FROM texts
    WHERE cluster_id IN (SELECT cluster_id FROM known)
)
SELECT cluster_id, text FROM ranked WHERE nth <= $count ORDER BY cluster_id, nth
