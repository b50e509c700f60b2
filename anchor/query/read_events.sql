SELECT pos, body
FROM events
WHERE log = ? AND batch_index = ?
ORDER BY log, batch_index, pos
