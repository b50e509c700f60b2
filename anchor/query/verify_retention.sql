-- Batches of a log with events that announce a retention.
SELECT DISTINCT batch_index
FROM events
WHERE log = ? AND kind = 'retention'
ORDER BY batch_index
