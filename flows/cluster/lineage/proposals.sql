-- A failure's words for each of these texts: what a person reads of the parts of a proposed split.
WITH homes AS (
{homes})
SELECT h.text_hash, substr(min(o.text), 1, 300) AS text
FROM homes AS h JOIN outcomes AS o ON o.interaction_id = h.interaction_id
WHERE o.application = $application AND h.text_hash IN (SELECT explode($hashes))
GROUP BY h.text_hash
ORDER BY h.text_hash
