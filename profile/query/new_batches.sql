-- Per log: the batch scored last, the newest one, and the event time reached
-- (the 99th percentile: one exporter's clock must not carry the others away).
-- A cursor starts one below the first batch so that nothing is left out.
SELECT
    c.log AS log,
    max(s.scored) AS after,
    max(c.batch_index) AS upto,
    toDateTime64(quantileExact(0.99)(c.last), 3, 'UTC') AS reached
FROM contacts AS c
LEFT JOIN
(
    SELECT log, max(batch_index) AS scored
    FROM score_cursors
    GROUP BY log
) AS s ON s.log = c.log
WHERE c.batch_index > s.scored
GROUP BY c.log
ORDER BY c.log
