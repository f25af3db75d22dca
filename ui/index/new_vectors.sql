-- The vectors of some texts, of the embedder that most of them have.
WITH found AS (SELECT embedder, text_hash, any_value(vector) AS vector FROM embeddings
               WHERE list_contains($hashes, text_hash) GROUP BY embedder, text_hash)
SELECT embedder, text_hash, vector FROM found
WHERE embedder = (SELECT embedder FROM found GROUP BY embedder ORDER BY count(*) DESC, embedder LIMIT 1)
