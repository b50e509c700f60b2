SELECT count()
FROM flows
WHERE log = ? AND batch_index = ?
