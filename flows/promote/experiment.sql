-- Users of an experiment: the arm that each met first, when, and what became of them within the wait for feedback.
-- A user counts by the first judged request to that arm; what other arms answered later does not count.
WITH served AS (
    SELECT
        outcomes.unit,
        outcomes.variant AS arm,
        outcomes.time,
        outcomes.outcome,
        CASE WHEN interactions.error_type IS NULL THEN 0 ELSE 1 END AS errors,
        CASE WHEN interactions.duration_ms > $slow_ms THEN 1 ELSE 0 END AS slow,
        row_number() OVER (PARTITION BY outcomes.unit ORDER BY outcomes.time, outcomes.interaction_id) AS place
    FROM outcomes
    INNER JOIN interactions ON outcomes.interaction_id = interactions.id
    WHERE outcomes.application = $application
        AND outcomes.variant IN (SELECT arm FROM arms)
        AND outcomes.time >= $started
),
met AS (
    SELECT unit, arm, time AS first FROM served WHERE place = 1
),
own AS (
    SELECT
        met.unit,
        met.arm,
        met.first,
        served.place,
        served.outcome,
        served.errors,
        served.slow,
        min(CASE WHEN served.outcome = 'unknown' THEN NULL ELSE served.place END)
            OVER (PARTITION BY met.unit) AS judged
    FROM met
    INNER JOIN served ON met.unit = served.unit AND met.arm = served.arm
    WHERE unix_micros(served.time) <= unix_micros(met.first) + $wait_us
)
SELECT
    unit,
    arm,
    first,
    max(errors) AS errors,
    max(slow) AS slow,
    max(CASE WHEN place = judged THEN CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END END) AS failed
FROM own
GROUP BY unit, arm, first
ORDER BY first, unit
