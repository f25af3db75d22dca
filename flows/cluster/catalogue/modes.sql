-- How many of each cluster's failures failed in which way.
WITH homes AS (
{homes})
SELECT h.cluster_id, coalesce(o.mode, '') AS mode, count(*) AS failures
FROM outcomes AS o JOIN homes AS h ON h.interaction_id = o.interaction_id
WHERE o.application = $application AND o.outcome = 'failed'
GROUP BY h.cluster_id, coalesce(o.mode, '')
ORDER BY h.cluster_id, mode
