-- The failures of pinned clusters from $since on, as `traffic.sql` has them, once for each such cluster that they are in.
WITH homes AS (
{homes})
SELECT o.time, h.cluster_id, o.unit, coalesce(o.request_model, '') AS request_model,
       coalesce(o.prompt_version, '') AS prompt_version, coalesce(o.variant, '') AS variant, o.mode
FROM outcomes AS o JOIN homes AS h ON h.interaction_id = o.interaction_id
WHERE o.application = $application AND o.outcome = 'failed' AND o.time >= $since
