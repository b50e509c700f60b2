-- The index behind the last batch of a log that any table knows, 0 if none does.
-- flows is read from its end: it is in this order, and may be very long.
SELECT max(end)
FROM
(
    (SELECT batch_index + 1 AS end FROM flows WHERE log = ? ORDER BY log DESC, batch_index DESC LIMIT 1)
    UNION ALL
    (SELECT batch_index + 1 AS end FROM flows_quarantine WHERE log = ? ORDER BY log DESC, batch_index DESC LIMIT 1)
    UNION ALL
    (SELECT batch_index + 1 AS end FROM events WHERE log = ? ORDER BY log DESC, batch_index DESC LIMIT 1)
    UNION ALL
    (SELECT batch_index + 1 AS end FROM headers WHERE log = ? ORDER BY log DESC, batch_index DESC LIMIT 1)
)
