-- Feedback that stands: not forgotten, not a retraction itself, and neither superseded nor retracted.
-- Only the same source and unit, on the same interaction of the same application, may take back what they said. What was
-- taken back once stays so: a retraction of the retraction brings nothing back. A pure function of the set of events.
--   voice   explicit, implicit or verdict
--   good    true: it was good; false: it was bad; null: it says neither, or its label decides
WITH remembered AS (
    SELECT f.*
    FROM feedback AS f
    WHERE NOT EXISTS (
        SELECT 1 FROM forgotten AS w
        WHERE w.unit = f.unit AND (w.application IS NULL OR w.application = f.application) AND f.time <= w.until
    )
    AND NOT EXISTS (SELECT 1 FROM forgotten_interactions AS i WHERE i.id = f.interaction_id)
),
taken_back AS (
    SELECT retracts AS id, application, interaction_id, source, unit FROM remembered WHERE retracts IS NOT NULL
    UNION
    SELECT supersedes AS id, application, interaction_id, source, unit FROM remembered WHERE supersedes IS NOT NULL
)
SELECT f.*, k.voice,
       CASE WHEN k.says = 'good' OR (k.says = 'value' AND f.value > 0.5) THEN TRUE
            WHEN k.says = 'bad' OR (k.says = 'value' AND f.value < 0.5) THEN FALSE END AS good
FROM remembered AS f
LEFT JOIN kinds AS k ON k.kind = f.kind
WHERE f.retracts IS NULL
  AND NOT EXISTS (
      SELECT 1 FROM taken_back AS t
      WHERE t.id = f.id AND t.application = f.application AND t.interaction_id = f.interaction_id
        AND t.source = f.source AND t.unit = f.unit
  )
