-- How many rows an erasure reaches in a table.
SELECT count() FROM %s WHERE %s
