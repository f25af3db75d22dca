-- Between which interactions each model, prompt version and variant lies, now that some have come.
UPDATE dim SET first = min(coalesce(dim.first, fresh.low), fresh.low), last = max(coalesce(dim.last, 0), fresh.high)
FROM (SELECT dim, min(n) AS low, max(n) AS high FROM interaction WHERE n > :after GROUP BY dim) AS fresh
WHERE fresh.dim = dim.n
