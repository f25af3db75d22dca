-- The home of every failure that has one (the CTE `homes` of other queries): where it was placed, or moved to last. Only finished runs count.
SELECT m.interaction_id, max_by(m.cluster_id, coalesce(m.moves, 0)) AS cluster_id, min(m.text_hash) AS text_hash,
       max(coalesce(m.moves, 0)) AS moves
FROM cluster_members AS m JOIN runs AS r ON r.run_id = m.run_id
WHERE r.stage = 'cluster' AND m.application = $application AND m.cluster_id <> ''
GROUP BY m.interaction_id
ORDER BY m.interaction_id
