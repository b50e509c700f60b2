-- Positions of a batch that are there twice, or beyond its end.
SELECT pos
FROM
(
    SELECT pos FROM flows WHERE log = ? AND batch_index = ?
    UNION ALL
    SELECT pos FROM flows_quarantine WHERE log = ? AND batch_index = ?
)
GROUP BY pos
HAVING count() > 1 OR pos >= ?
ORDER BY pos
LIMIT ?
