-- How many failures each cluster has, of how many people, and from when to when.
WITH homes AS (
{homes})
SELECT h.cluster_id, count(*) AS failures, count(DISTINCT o.unit) AS people, min(o.time) AS first_seen,
       max(o.time) AS last_seen
FROM outcomes AS o JOIN homes AS h ON h.interaction_id = o.interaction_id
WHERE o.application = $application AND o.outcome = 'failed'
GROUP BY h.cluster_id
ORDER BY h.cluster_id
