-- The interaction that a golden item is made from: whose it is and when it was asked; none where that person is forgotten.
SELECT i.id AS interaction_id, i.unit, i.time AS asked_at, coalesce(i.training_consent, $consent) AS agreed
FROM interactions AS i
LEFT JOIN forgotten_interactions AS e ON e.id = i.id
WHERE i.id = $id AND i.application = $application AND e.id IS NULL
