-- Everything that has its home in a cluster, or was placed by this run ($placed), with its text and outcome by now.
WITH homes AS (
{homes}), ids AS (
    SELECT interaction_id FROM homes WHERE cluster_id = $cluster
    UNION
    SELECT explode($placed) AS interaction_id
)
SELECT i.interaction_id, h.cluster_id, h.text_hash, h.moves, coalesce(h.pinned, FALSE) AS pinned, o.outcome, o.text, o.mode
FROM ids AS i
LEFT JOIN homes AS h ON h.interaction_id = i.interaction_id
LEFT JOIN outcomes AS o ON o.interaction_id = i.interaction_id AND o.application = $application
ORDER BY i.interaction_id
