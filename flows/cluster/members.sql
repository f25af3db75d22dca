-- Every failure that has a home, and the run that gave it one. Only finished runs count.
SELECT m.interaction_id, m.cluster_id, m.text_hash, m.confidence
FROM cluster_members AS m JOIN runs AS r ON r.run_id = m.run_id
WHERE r.stage = 'cluster' AND m.application = $application AND m.cluster_id <> ''
ORDER BY m.interaction_id
