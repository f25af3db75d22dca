-- What was asked in some of each cluster's failures, in order of their ids: the first $least, the one in the middle, and
-- every so many that there are at most $most of these.
WITH homes AS (
{homes}), failures AS (
    SELECT h.cluster_id, o.interaction_id, o.unit, o.text,
           CAST(row_number() OVER (PARTITION BY h.cluster_id ORDER BY o.interaction_id) AS BIGINT) AS nth,
           count(*) OVER (PARTITION BY h.cluster_id) AS failures
    FROM outcomes AS o JOIN homes AS h ON h.interaction_id = o.interaction_id
    WHERE o.application = $application AND o.outcome = 'failed'
)
SELECT cluster_id, interaction_id, unit, text, nth
FROM failures
WHERE nth <= $least OR nth = CAST(floor(failures / 2) AS BIGINT) + 1
   OR (nth - 1) % CAST(ceil(failures / $most) AS BIGINT) = 0
ORDER BY cluster_id, nth
