-- Every row about a dataset version, in the order in which they are to be read, with the number of the run that wrote it.
SELECT v.application, v.dataset, v.version, v.kind, v.path, v.sha256, v.created, v.rows, v.manifest, v.status,
       v.status_reason, coalesce(r.sequence, 0) AS sequence
FROM dataset_versions AS v
LEFT JOIN (SELECT run_id, max(sequence) AS sequence FROM runs GROUP BY run_id) AS r ON r.run_id = v.run_id
ORDER BY v.created, CASE v.status WHEN 'current' THEN 0 WHEN 'stale' THEN 1 ELSE 2 END, v.version
