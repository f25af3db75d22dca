-- Every row about a dataset version, in the order in which they are to be read.
SELECT application, dataset, version, kind, path, sha256, created, rows, manifest, status, status_reason
FROM dataset_versions
ORDER BY created, CASE status WHEN 'current' THEN 0 WHEN 'stale' THEN 1 ELSE 2 END, version
