-- Who was first seen after $since, where at least $established are known for longer; else nobody.
WITH seen AS (
    SELECT unit, min(time) AS first_seen
    FROM (
        SELECT unit, time FROM interactions WHERE application = $application
        UNION ALL
        SELECT unit, time FROM feedback WHERE application = $application
    )
    GROUP BY unit
)
SELECT unit
FROM seen
WHERE first_seen > $since AND (SELECT count(*) FROM seen WHERE first_seen <= $since) >= $established
ORDER BY unit
