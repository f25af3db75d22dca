-- A capped sample of each living cluster's distinct texts with their vectors: what new failures are compared with.
-- The sample goes by hash, so it is the same whatever the order of rows, and old and young members are equally likely.
WITH homes AS (
{homes}), sampled AS (
    SELECT cluster_id, text_hash,
           row_number() OVER (PARTITION BY cluster_id ORDER BY md5(text_hash), text_hash) AS nth
    FROM (SELECT DISTINCT cluster_id, text_hash FROM homes)
), vectors AS (
    SELECT text_hash, any_value(vector) AS vector FROM embeddings WHERE embedder = $embedder GROUP BY text_hash
)
SELECT s.cluster_id, s.text_hash, v.vector
FROM sampled AS s LEFT JOIN vectors AS v ON v.text_hash = s.text_hash
WHERE s.nth <= $cap
ORDER BY s.cluster_id, s.text_hash
