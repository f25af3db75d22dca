-- Where each cluster lies: the mean of its members' vectors, with one row a dimension.
WITH homes AS (
{homes}), sampled AS (
    SELECT cluster_id, text_hash, row_number() OVER (PARTITION BY cluster_id ORDER BY md5(text_hash)) AS nth
    FROM (SELECT DISTINCT cluster_id, text_hash FROM homes)
), vectors AS (
    SELECT text_hash, embedder, any_value(vector) AS vector FROM embeddings GROUP BY text_hash, embedder
)
SELECT s.cluster_id, v.embedder, v.vector
FROM sampled AS s JOIN vectors AS v ON v.text_hash = s.text_hash
WHERE s.nth <= 50
ORDER BY s.cluster_id, s.text_hash, v.embedder
