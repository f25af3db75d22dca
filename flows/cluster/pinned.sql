-- Which failures are in which pinned clusters (the CTE `homes` of other queries): an interaction may be in several. What
-- run $unseen says does not count.
SELECT DISTINCT interaction_id, cluster_id
FROM pinned_members
WHERE application = $application AND run_id <> $unseen
ORDER BY interaction_id, cluster_id
