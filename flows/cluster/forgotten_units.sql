-- Who asked to be forgotten.
SELECT DISTINCT unit FROM forgotten ORDER BY unit
