-- Which of what was said still stands: no retraction does, nor what the same speaker took back on the same interaction.
UPDATE feedback SET stands = 0
WHERE id IN (
    SELECT unhex(value) FROM json_each($ids)
    UNION
    SELECT takes FROM feedback WHERE id IN (SELECT unhex(value) FROM json_each($ids)) AND takes IS NOT NULL
)
AND (
    retracts
    OR EXISTS (
        SELECT 1 FROM feedback AS later
        WHERE later.takes = feedback.id AND later.interaction = feedback.interaction
          AND later.source = feedback.source AND later.unit = feedback.unit
    )
)
