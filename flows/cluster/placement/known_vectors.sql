-- Vectors that an earlier run computed for these texts.
SELECT text_hash, any_value(vector) AS vector
FROM embeddings
WHERE embedder = $embedder AND text_hash IN (SELECT explode($hashes))
GROUP BY text_hash
ORDER BY text_hash
