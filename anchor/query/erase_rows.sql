-- Deletes the rows of a log at these (batch, position) pairs.
ALTER TABLE %s DELETE
WHERE log = %d AND (batch_index, pos) IN (%s)
SETTINGS mutations_sync = 2, max_query_size = 67108864
