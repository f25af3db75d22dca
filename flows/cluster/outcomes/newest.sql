-- What was said together, of how many interactions, and what that makes of them, by the newest run that found a change.
SELECT voices, interactions, left_out, outcome, score
FROM voices
WHERE application = $application
ORDER BY voices
