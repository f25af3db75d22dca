-- Which units spoke of some interactions when these were judged last, and the days of these.
SELECT interaction_id, explode(speakers) AS unit, date_trunc('day', time) AS asked
FROM before
