-- Cluster runs as of before $before that another of the same application and day has followed.
WITH days AS (
    SELECT run_id, row_number() OVER (
        PARTITION BY application, CAST(as_of AS DATE) ORDER BY as_of DESC, coalesce(sequence, 0) DESC
    ) AS nth
    FROM stored_runs
    WHERE stage = 'cluster' AND as_of < $before
)
SELECT run_id FROM days WHERE nth > 1 AND run_id IN (SELECT run_id FROM stored_clusters) ORDER BY run_id
