-- The newest first requests, at most $most and at most a share $share of all: what a decision is made on.
-- Of one person the newest $each: nobody fills the sample by asking much. Where these are too few for a whole sample, as
-- many as half of the people have.
-- First: no answer was given instead of an earlier one (those follow from the champion's failures, not from demand).
WITH followed AS (
    SELECT DISTINCT replaced_by AS id FROM standing_feedback
    WHERE application = $application AND replaced_by IS NOT NULL
),
of_each AS (
    SELECT i.*, row_number() OVER (PARTITION BY i.unit ORDER BY i.time DESC, i.id DESC) AS nth
    FROM interactions AS i
    LEFT JOIN followed AS f ON f.id = i.id
    LEFT JOIN forgotten_interactions AS e ON e.id = i.id
    WHERE i.application = $application AND i.time <= $as_of AND f.id IS NULL AND e.id IS NULL
      AND coalesce(i.training_consent, $consent)
),
typical AS (
    SELECT CASE WHEN $share * sum(least(asked, $each)) >= $most THEN $each
                ELSE greatest($each, coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY asked), 1)) END AS asked
    FROM (SELECT max(nth) AS asked FROM of_each GROUP BY unit)
),
first_requests AS (
    SELECT o.*,
           row_number() OVER (ORDER BY o.time DESC, o.id DESC) AS place,
           count(*) OVER () AS total
    FROM of_each AS o, typical AS t
    WHERE o.nth <= t.asked
),
members AS (
    SELECT m.interaction_id, max_by(coalesce(c.alias_of, m.cluster_id), coalesce(m.moves, 0)) AS cluster_id
    FROM cluster_members AS m
    LEFT JOIN clusters AS c ON c.cluster_id = m.cluster_id AND c.run_id = $outcome_run
    WHERE m.application = $application
    GROUP BY m.interaction_id
)
SELECT
    a.id AS interaction_id, a.time, a.conversation_id, a.user_id, a.request_model, a.prompt_version,
    a.input_messages, a.system_instructions, a.tool_definitions, coalesce(m.cluster_id, '') AS cluster_id
FROM first_requests AS a
LEFT JOIN members AS m ON m.interaction_id = a.id
WHERE a.place <= $most AND a.place <= $share * a.total
ORDER BY a.id
