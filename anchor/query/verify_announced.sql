-- Batches of a log with events that announce a retention or an erasure, or tell of a loss.
SELECT DISTINCT batch_index
FROM events
WHERE log = ? AND kind IN ('retention', 'erasure', 'loss')
ORDER BY batch_index
