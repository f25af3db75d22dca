-- Every row about a dataset version that a finished run wrote, in the order in which they are to be read.
SELECT v.application, v.dataset, v.version, v.kind, v.path, v.sha256, v.created, v.rows, v.manifest, v.status,
       v.status_reason
FROM dataset_versions AS v
JOIN runs AS r ON r.run_id = v.run_id
ORDER BY v.created, CASE v.status WHEN 'current' THEN 0 WHEN 'stale' THEN 1 ELSE 2 END, v.version
