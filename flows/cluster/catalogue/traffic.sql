-- Interactions from $since on, of the times looked at and perhaps of some between these, and whose they were; of those
-- that failed the home.
WITH homes AS (
{homes})
SELECT o.time, h.cluster_id, o.unit, coalesce(o.request_model, '') AS request_model,
       coalesce(o.prompt_version, '') AS prompt_version, coalesce(o.variant, '') AS variant, o.mode
FROM outcomes AS o LEFT JOIN homes AS h ON h.interaction_id = o.interaction_id AND o.outcome = 'failed'
WHERE o.application = $application AND o.time >= $since
