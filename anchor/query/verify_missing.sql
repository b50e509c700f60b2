-- Positions of a batch of ? rows that are not there.
SELECT toUInt32(number) AS pos
FROM numbers(?)
WHERE number NOT IN
(
    SELECT toUInt64(pos) FROM flows WHERE log = ? AND batch_index = ?
    UNION ALL
    SELECT toUInt64(pos) FROM flows_quarantine WHERE log = ? AND batch_index = ?
)
ORDER BY number
LIMIT ?
