-- Judged interactions by arm and unit, of one cluster run's outcomes.
-- An arm is a variant; interactions without one belong to the arm ''.
SELECT
    coalesce(variant, '') AS arm,
    unit,
    count(*) AS interactions,
    sum(CASE WHEN outcome = 'ok' THEN 1 ELSE 0 END) AS ok,
    sum(CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END) AS failed
FROM outcomes
WHERE run_id = $run_id AND coalesce(variant, '') IN ($control, $treatment)
GROUP BY 1, 2
ORDER BY 1, 2
