-- How many interactions of one application each day has.
SELECT CAST(time AS DATE) AS day, count(*) AS interactions
FROM interactions
WHERE application = $application
GROUP BY CAST(time AS DATE)
ORDER BY day
