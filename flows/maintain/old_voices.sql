-- Finished runs whose voices a newer one has said anew.
SELECT DISTINCT run_id
FROM stored_voices
WHERE run_id IN (SELECT run_id FROM stored_runs) AND run_id NOT IN (SELECT run_id FROM voices)
ORDER BY run_id
