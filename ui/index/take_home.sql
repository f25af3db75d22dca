INSERT INTO home (n, cluster, text)
SELECT i.n, (SELECT n FROM cluster WHERE cluster.id = ?), (SELECT n FROM vector WHERE hash = ?)
FROM interaction AS i WHERE i.id = ?
ON CONFLICT (n) DO UPDATE SET cluster = excluded.cluster, text = excluded.text
