-- What was said together, as the newest finished run that found a change in it has it.
SELECT * FROM stored_voices
WHERE run_id IN (
    SELECT max_by(run_id, coalesce(sequence, 0))
    FROM stored_runs
    WHERE run_id IN (SELECT run_id FROM stored_voices)
    GROUP BY application
)
