-- The interactions that an erasure forgets, by id.
SELECT i.id
FROM interactions AS i
WHERE EXISTS (
    SELECT 1 FROM forgotten AS w
    WHERE w.unit = i.unit AND (w.application IS NULL OR w.application = i.application) AND i.time <= w.until
)
