-- Deletes what an erasure reaches in a table.
ALTER TABLE %s DELETE WHERE %s SETTINGS mutations_sync = 2
