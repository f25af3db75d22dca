-- Interactions from $since on, by what they were served with and how they turned out.
SELECT coalesce(request_model, '') AS request_model, coalesce(prompt_version, '') AS prompt_version,
       coalesce(variant, '') AS variant, outcome, count(*) AS interactions
FROM outcomes
WHERE application = $application AND time >= $since
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
