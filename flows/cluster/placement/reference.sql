-- A capped sample of each living cluster's distinct texts with their vectors: what new failures are compared with.
-- The sample goes by hash, so it is the same whatever the order of rows, and old and young members are equally likely.
-- What a person moved here comes first, and the same words elsewhere do not count: that is how a move teaches.
-- A text comes as often as its vector was kept: once, or by two runs the same.
WITH homes AS (
{homes}), texts AS (
    SELECT cluster_id, text_hash, max(CASE WHEN pinned THEN 1 ELSE 0 END) AS pinned
    FROM homes
    GROUP BY cluster_id, text_hash
), sampled AS (
    SELECT cluster_id, text_hash,
           row_number() OVER (PARTITION BY cluster_id ORDER BY pinned DESC, md5(text_hash), text_hash) AS nth
    FROM texts
    WHERE pinned = 1 OR text_hash NOT IN (SELECT text_hash FROM texts WHERE pinned = 1)
), chosen AS (
    SELECT cluster_id, text_hash FROM sampled WHERE nth <= $cap
)
SELECT s.cluster_id, s.text_hash, v.vector
FROM chosen AS s LEFT JOIN embeddings AS v ON v.text_hash = s.text_hash AND v.embedder = $embedder
ORDER BY s.cluster_id, s.text_hash
