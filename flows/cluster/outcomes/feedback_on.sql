-- Feedback of which a copy is about some interactions.
SELECT DISTINCT id FROM stored_feedback
