-- What is remembered of an application as examples are made now; a group that two builds made at once stands there once.
WITH copies AS (
    SELECT *, row_number() OVER (PARTITION BY key, place ORDER BY interaction_id) AS copy
    FROM examples
    WHERE application = $application AND how = $how
)
SELECT key, place, interaction_id, reason, example, redacted
FROM copies
WHERE copy = 1
ORDER BY interaction_id, key, place
