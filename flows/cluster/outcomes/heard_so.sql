-- Interactions of which just some of the combinations of voices were heard.
SELECT interaction_id AS id FROM outcomes
WHERE application = $application AND voices IN (SELECT voices FROM combinations)
