-- The most frequent reasons of each cluster's failures, $most of them.
WITH homes AS (
{homes}), told AS (
    SELECT h.cluster_id, explode(o.reasons) AS reason
    FROM outcomes AS o JOIN homes AS h ON h.interaction_id = o.interaction_id
    WHERE o.application = $application AND o.outcome = 'failed'
), ranked AS (
    SELECT cluster_id, reason, row_number() OVER (PARTITION BY cluster_id ORDER BY count(*) DESC, reason) AS place
    FROM told
    GROUP BY cluster_id, reason
)
SELECT cluster_id, reason FROM ranked WHERE place <= $most ORDER BY cluster_id, place
