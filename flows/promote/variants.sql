-- Judged interactions of one application by arm and unit.
-- An arm is a variant; interactions without one belong to the arm ''.
SELECT
    coalesce(variant, '') AS arm,
    unit,
    count(*) AS interactions,
    CAST(sum(CASE WHEN outcome = 'ok' THEN 1 ELSE 0 END) AS BIGINT) AS ok,
    CAST(sum(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END) AS BIGINT) AS failed
FROM outcomes
WHERE application = $application AND coalesce(variant, '') IN ($control, $treatment)
GROUP BY 1, 2
ORDER BY 1, 2
