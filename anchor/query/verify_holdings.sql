-- What the tables hold of batches [?, ?] of a log: rows by table and batch.
SELECT source, batch_index, count() AS rows, arraySort(groupUniqArray(3)(site)) AS sites
FROM
(
    SELECT 0::UInt8 AS source, batch_index, toString(site) AS site FROM flows
    WHERE log = ? AND batch_index >= ? AND batch_index <= ?
    UNION ALL
    SELECT 1::UInt8 AS source, batch_index, toString(site) AS site FROM flows_quarantine
    WHERE log = ? AND batch_index >= ? AND batch_index <= ?
    UNION ALL
    SELECT 2::UInt8 AS source, batch_index, '' AS site FROM events
    WHERE log = ? AND batch_index >= ? AND batch_index <= ?
)
GROUP BY source, batch_index
ORDER BY batch_index, source
LIMIT ?
