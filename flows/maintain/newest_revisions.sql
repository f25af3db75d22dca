-- The revision that holds of each interaction, and how many rows of finished runs are older.
SELECT application, interaction_id, max(revision) AS revision,
       count(*) - count(CASE WHEN nth = 1 THEN 1 END) AS older
FROM (
    SELECT application, interaction_id, revision,
           rank() OVER (PARTITION BY application, interaction_id ORDER BY coalesce(revision, -1) DESC) AS nth
    FROM stored_outcomes
    WHERE run_id IN (SELECT run_id FROM stored_runs)
)
GROUP BY application, interaction_id
HAVING max(revision) > 0
ORDER BY application, interaction_id
