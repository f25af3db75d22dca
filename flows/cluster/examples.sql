-- The newest distinct texts of each cluster's failures.
WITH homes AS (
    SELECT m.interaction_id, m.cluster_id
    FROM cluster_members AS m JOIN runs AS r ON r.run_id = m.run_id
    WHERE r.stage = 'cluster' AND m.application = $application AND m.cluster_id <> ''
), texts AS (
    SELECT h.cluster_id, o.text, max(o.time) AS time
    FROM outcomes AS o JOIN homes AS h ON h.interaction_id = o.interaction_id
    WHERE o.run_id = $run_id AND o.outcome = 'failed'
    GROUP BY h.cluster_id, o.text
), ranked AS (
    SELECT cluster_id, text, row_number() OVER (PARTITION BY cluster_id ORDER BY time DESC, text) AS nth FROM texts
)
SELECT cluster_id, substr(text, 1, 300) AS text FROM ranked WHERE nth <= $count ORDER BY cluster_id, nth
