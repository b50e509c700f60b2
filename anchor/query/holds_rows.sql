-- How many rows the tables hold of a batch.
SELECT (SELECT count() FROM flows WHERE log = ? AND batch_index = ?) + (SELECT count() FROM flows_quarantine WHERE log = ? AND batch_index = ?)
