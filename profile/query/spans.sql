-- What is to be rebuilt: per log and day of receipt, the batches and rows of flows.
SELECT log, toDate(time_received_ns) AS day, min(batch_index), max(batch_index)
FROM flows
GROUP BY log, day
ORDER BY log, day
