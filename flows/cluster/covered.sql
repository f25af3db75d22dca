-- A sample of the interactions from $since on, by a hash of their ids that is below $below: the same in any order.
SELECT time, unit, request_model, prompt_version, variant, outcome, text
FROM outcomes
WHERE application = $application AND time >= $since AND substr(md5(interaction_id), 1, 8) <= $below
ORDER BY interaction_id
