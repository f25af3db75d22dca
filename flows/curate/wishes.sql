-- The units that an erasure forgets in one application, and until when.
SELECT unit, max(until) AS until
FROM forgotten
WHERE application IS NULL OR application = $application
GROUP BY unit
ORDER BY unit
