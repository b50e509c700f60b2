-- Deletes the rows of a log that are listed in the table erasing.
ALTER TABLE %s DELETE
WHERE log = %d AND (batch_index, pos) IN (SELECT batch_index, pos FROM erasing WHERE log = %[2]d)
SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1
