-- Where these runs placed or moved failures, the last move counting.
SELECT interaction_id, max_by(cluster_id, coalesce(moves, 0)) AS cluster_id, min(text_hash) AS text_hash
FROM cluster_members
WHERE application = $application AND cluster_id <> '' AND list_contains($runs, run_id)
GROUP BY interaction_id
ORDER BY interaction_id
