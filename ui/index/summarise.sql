DELETE FROM day WHERE day = :day;
INSERT INTO day
SELECT :day, dim, count(*), sum(outcome IN (1, 2)), sum(outcome = 2), sum(error IS NOT NULL),
       sum(tokens_in), sum(tokens_out), sum(cost) / 1e9, count(tokens_in), count(cost)
FROM interaction WHERE time / 3600000 BETWEEN :hours - 1 AND :hours + 24 AND time >= :first AND time < :last
GROUP BY dim;
DELETE FROM hour WHERE hour >= :hours AND hour < :hours + 24;
INSERT INTO hour
SELECT (time - :first) / 3600000 + :hours, dim, count(*), sum(outcome IN (1, 2)), sum(outcome = 2)
FROM interaction WHERE time / 3600000 BETWEEN :hours - 1 AND :hours + 24 AND time >= :first AND time < :last
GROUP BY 1, 2;
DELETE FROM cluster_hour WHERE hour >= :hours AND hour < :hours + 24;
INSERT INTO cluster_hour
SELECT h.cluster, (time - :first) / 3600000 + :hours, dim, count(*)
FROM interaction JOIN home AS h USING (n) WHERE time / 3600000 BETWEEN :hours - 1 AND :hours + 24 AND time >= :first AND time < :last
      AND h.cluster IS NOT NULL AND outcome = 2
GROUP BY 1, 2, 3;
DELETE FROM latency WHERE day = :day;
INSERT INTO latency
SELECT :day, dim, bucket(duration), count(*)
FROM interaction WHERE time / 3600000 BETWEEN :hours - 1 AND :hours + 24 AND time >= :first AND time < :last
      AND duration IS NOT NULL
GROUP BY 2, 3;
