-- The batches of a log with contacts after a time, by hour of event time.
SELECT min(batch_index), max(batch_index), max(reached)
FROM
(
    SELECT batch_index, quantileExact(0.99)(contacts.last) AS reached
    FROM contacts
    WHERE log = {log:UInt64} AND contacts.last >= {since:DateTime64}
    GROUP BY batch_index
)
GROUP BY toStartOfHour(reached) AS hour
ORDER BY min(batch_index)
