SELECT count()
FROM flows_quarantine
WHERE log = ? AND batch_index = ?
