-- Devices to classify: never classified, by other rules than today's, or with
-- traffic since, when a quarter of their life passed since the last time (five
-- minutes at least, a day at most). The clock is that of the device's flows.
SELECT known.device AS device, known.seen AS seen, toString(kinds.kind) AS kind, toUInt8(kinds.iot) AS iot, kinds.since AS since
FROM
(
    SELECT device, min(device_lives.first) AS born, max(device_lives.last) AS seen
    FROM device_lives
    WHERE site = {site:String}
    GROUP BY device
) AS known
LEFT JOIN (SELECT device, classified, kind, iot, since, rules FROM kinds FINAL WHERE site = {site:String}) AS kinds ON kinds.device = known.device
WHERE kinds.rules != {rules:UInt64}
    OR dateDiff('second', kinds.classified, known.seen) >= greatest(300, least(86400, intDiv(dateDiff('second', known.born, known.seen), 4)))
ORDER BY kinds.classified, known.device
LIMIT {most:UInt32}
