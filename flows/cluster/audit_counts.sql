-- Interactions of each day from $first to $end (UTC), by what was said of them.
SELECT CAST(time AS DATE) AS day, voices, count(*) AS interactions
FROM outcomes
WHERE application = $application AND time >= $first AND time < $end
GROUP BY 1, 2
ORDER BY 1, 2
