-- Of how many interactions each combination of voices was heard, counted anew.
SELECT voices, count(*) AS interactions, CAST(sum(left_out) AS BIGINT) AS left_out
FROM outcomes
WHERE application = $application
GROUP BY voices
ORDER BY voices
