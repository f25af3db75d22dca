SELECT DISTINCT (time + 86400000) / 86400000 - 1 FROM interaction WHERE id IN (SELECT unhex(value) FROM json_each($ids))
