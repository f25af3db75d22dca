-- Every day (UTC) on which anything was asked.
SELECT DISTINCT (time + 86400000) / 86400000 - 1 FROM interaction
