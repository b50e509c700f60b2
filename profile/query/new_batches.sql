-- What of a log is not scored: the newest batch, the event time reached (the 99th
-- percentile: one exporter's clock must not carry the others away), and how far
-- each pace came. Batch 0 is a log's genesis and has no flows.
WITH
    (
        SELECT (maxIf(batch_index, pace = 'prompt'), maxIf(batch_index, pace = 'steady'), argMaxIf(watermark, batch_index, pace = 'steady'))
        FROM score_cursors
        WHERE log = {log:UInt64}
    ) AS cursor
SELECT
    max(batch_index) AS upto,
    toDateTime64(quantileExact(0.99)(contacts.last), 3, 'UTC') AS reached,
    cursor.1 AS prompt, cursor.2 AS steady, cursor.3 AS mark
FROM contacts
WHERE log = {log:UInt64} AND batch_index > least(cursor.1, cursor.2)
HAVING count() > 0
