-- A sample of what failed and has a home, one row a text, with its cluster and whether $people people or more are in that.
-- The sample goes by hash: the same whatever the order of rows, and of old and young failures alike.
WITH homes AS (
{homes}), failed AS (
    SELECT h.text_hash, h.cluster_id, o.text, o.unit
    FROM outcomes AS o JOIN homes AS h ON h.interaction_id = o.interaction_id
    WHERE o.application = $application AND o.outcome = 'failed'
), known AS (
    SELECT cluster_id FROM failed GROUP BY cluster_id HAVING count(DISTINCT unit) >= $people
), texts AS (
    SELECT text_hash, min(text) AS text, min(cluster_id) AS cluster_id
    FROM failed
    GROUP BY text_hash
    ORDER BY md5(text_hash), text_hash
    LIMIT $most
)
SELECT text_hash, text, cluster_id, cluster_id IN (SELECT cluster_id FROM known) AS shown
FROM texts
ORDER BY text_hash
