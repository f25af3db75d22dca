-- What the newest of these runs said of each interaction that any of them spoke of.
SELECT o.interaction_id, max_by(o.outcome, r.sequence) AS outcome
FROM stored_outcomes AS o JOIN stored_runs AS r ON r.run_id = o.run_id
WHERE o.application = $application AND list_contains($runs, o.run_id)
GROUP BY o.interaction_id
