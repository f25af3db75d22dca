-- Which of some feedback events are archived and stand no longer: retracted, superseded, or of somebody forgotten.
SELECT f.id
FROM feedback AS f
LEFT JOIN standing_feedback AS s ON s.id = f.id
WHERE f.application = $application AND f.id IN (SELECT explode($ids)) AND s.id IS NULL
