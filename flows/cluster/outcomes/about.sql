-- The interactions that any copy of some feedback is about.
SELECT DISTINCT interaction_id AS id FROM stored_feedback
