-- The home of every failure that has one (the CTE `homes` of other queries): where it was placed, or moved to last.
-- What run $unseen says does not count.
SELECT interaction_id, max_by(cluster_id, coalesce(moves, 0)) AS cluster_id, min(text_hash) AS text_hash,
       max(coalesce(moves, 0)) AS moves, max_by(assigned_by, coalesce(moves, 0)) = 'person' AS pinned
FROM cluster_members
WHERE application = $application AND cluster_id <> '' AND run_id <> $unseen
GROUP BY interaction_id
ORDER BY interaction_id
