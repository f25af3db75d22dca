-- Every failure and what was asked in it: what a new pinned cluster is made of.
SELECT interaction_id, text
FROM outcomes
WHERE application = $application AND outcome = 'failed'
