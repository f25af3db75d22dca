SELECT DISTINCT time / 86400000 FROM interaction WHERE id IN (SELECT unhex(value) FROM json_each($ids))
