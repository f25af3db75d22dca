-- What was said of an interaction of somebody forgotten, where it is none that is here: ids are whatever is sent.
DELETE FROM feedback WHERE interaction = ?1 AND NOT EXISTS (SELECT 1 FROM interaction WHERE id = ?1)
