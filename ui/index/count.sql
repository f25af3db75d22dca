-- Interactions into the summaries: new ones on top of what is there, or all of a day that was emptied; `$which` says it.
-- Days and hours are floors: an event may be of the first hours of 1970 east of UTC.
INSERT INTO day
SELECT (time + 86400000) / 86400000 - 1, dim, count(*), sum(outcome IN (1, 2)), sum(outcome = 2),
       sum(error IS NOT NULL), sum(tokens_in), sum(tokens_out), sum(cost), count(tokens_in), count(cost)
FROM interaction WHERE $which
GROUP BY 1, 2
ON CONFLICT DO UPDATE SET
    served = served + excluded.served, judged = judged + excluded.judged, failed = failed + excluded.failed,
    errors = errors + excluded.errors,
    tokens_in = coalesce(tokens_in + excluded.tokens_in, tokens_in, excluded.tokens_in),
    tokens_out = coalesce(tokens_out + excluded.tokens_out, tokens_out, excluded.tokens_out),
    cost = coalesce(cost + excluded.cost, cost, excluded.cost),
    measured = measured + excluded.measured, priced = priced + excluded.priced;
INSERT INTO hour
SELECT (time + 86400000) / 3600000 - 24, dim, count(*), sum(outcome IN (1, 2)), sum(outcome = 2)
FROM interaction WHERE $which
GROUP BY 1, 2
ON CONFLICT DO UPDATE SET
    served = served + excluded.served, judged = judged + excluded.judged, failed = failed + excluded.failed;
INSERT INTO cluster_hour  -- from the interactions to their homes: the other way goes through all that ever failed
SELECT h.cluster, (time + 86400000) / 3600000 - 24, dim, count(*)
FROM interaction CROSS JOIN home AS h USING (n) WHERE $which AND h.cluster IS NOT NULL AND +outcome = 2
GROUP BY 1, 2, 3
ON CONFLICT DO UPDATE SET failed = failed + excluded.failed;
INSERT INTO latency
SELECT (time + 86400000) / 86400000 - 1, dim, bucket(duration), count(*)
FROM interaction WHERE $which AND duration IS NOT NULL
GROUP BY 1, 2, 3
ON CONFLICT DO UPDATE SET served = served + excluded.served;
