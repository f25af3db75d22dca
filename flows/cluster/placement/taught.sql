-- Where people moved failures that say the same as these texts: of several places the one with most of them.
WITH homes AS (
{homes}), moved AS (
    SELECT text_hash, cluster_id, count(*) AS failures
    FROM homes
    WHERE pinned AND text_hash IN (SELECT explode($hashes))
    GROUP BY text_hash, cluster_id
), ranked AS (
    SELECT text_hash, cluster_id, row_number() OVER (PARTITION BY text_hash ORDER BY failures DESC, cluster_id) AS nth
    FROM moved
)
SELECT text_hash, cluster_id FROM ranked WHERE nth = 1 ORDER BY text_hash
