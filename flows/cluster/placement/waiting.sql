-- Failures that have no home yet.
WITH homes AS (
{homes})
SELECT o.interaction_id
FROM outcomes AS o LEFT JOIN homes AS h ON h.interaction_id = o.interaction_id
WHERE o.application = $application AND o.outcome = 'failed' AND h.interaction_id IS NULL
ORDER BY o.interaction_id
