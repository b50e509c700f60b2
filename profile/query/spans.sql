-- What is to be rebuilt: per log and day of receipt, the batches of flows.
SELECT log, toDate(time_received_ns) AS day, any(flows.site), min(batch_index), max(batch_index)
FROM flows
GROUP BY log, day
ORDER BY log, day
