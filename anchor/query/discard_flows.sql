ALTER TABLE flows DELETE
WHERE log = ? AND batch_index = ?
SETTINGS mutations_sync = 2
