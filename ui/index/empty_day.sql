-- A day out of the summaries, before it is counted anew.
DELETE FROM day WHERE day = :day;
DELETE FROM hour WHERE hour >= :hours AND hour < :hours + 24;
DELETE FROM cluster_hour WHERE cluster IN (SELECT n FROM cluster) AND hour >= :hours AND hour < :hours + 24;
DELETE FROM latency WHERE day = :day;
