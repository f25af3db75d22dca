-- Of each day from $first to $end (UTC) the first $most interactions by a hash of their ids: the same in any order, and
-- whoever asks cannot choose. With what was said of each.
WITH days AS (
    SELECT interaction_id, CAST(time AS DATE) AS day, voices
    FROM outcomes
    WHERE application = $application AND time >= $first AND time < $end
), ranked AS (
    SELECT day, interaction_id, voices,
           row_number() OVER (PARTITION BY day ORDER BY md5('audit:' || interaction_id), interaction_id) AS nth
    FROM days
)
SELECT day, interaction_id, voices, CAST(nth AS BIGINT) AS nth FROM ranked WHERE nth <= $most ORDER BY day, nth
