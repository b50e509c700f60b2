-- silence: a device that was never quiet for long is not heard any more, while
-- its neighbours are.
--
-- The time since its last flow against the longest gap of the 28 days before, in
-- hours: twice that and two hours more. At least three other devices seen by the
-- same exporter in the last hour, three of four of those it saw the day before: else the
-- exporter, the line or the power is away, and not the device.
--
-- Minimum evidence: device learned; heard in nine of ten hours of the week before.
-- Severity 0.35. ATT&CK T1489; ICS T0826, T0881, T0814.
WITH
    (
        SELECT max(contacts.last) FROM contacts WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
    ) AS now_at,
    seen AS
    (
        SELECT device, min(devices.first) AS born, max(devices.last) AS heard
        FROM devices
        WHERE site = {site:String} AND ({device:UInt64} = 0 OR device = {device:UInt64})
        GROUP BY device
        HAVING heard < now_at - toIntervalHour(2) AND heard > now_at - toIntervalDay(3) AND born + toIntervalSecond(greatest({learning:UInt64}, 604800)) <= heard
    ),
    hours AS
    (
        SELECT device, heard, groupUniqArray(toUnixTimestamp(v.t)) AS list, argMax(exporter_of, v.t) AS exporter
        FROM (SELECT device, t, any(exporter) AS exporter_of FROM volumes_1h WHERE device IN (SELECT device FROM seen) GROUP BY device, t) AS v
        INNER JOIN seen USING (device)
        WHERE v.t > heard - toIntervalDay(28)
        GROUP BY device, heard
    ),
    gaps AS
    (
        SELECT
            device, heard, exporter, arraySort(list) AS sorted,
            arrayCount(t -> t > toUnixTimestamp(heard) - 604800, list) AS lately,
            arrayMax(arrayMap(i -> sorted[i + 1] - sorted[i], range(1, length(sorted)))) - 3600 AS longest,
            dateDiff('second', heard, now_at) AS quiet
        FROM hours
        WHERE length(list) > 24
    ),
    neighbours AS
    (
        SELECT exporter_of AS exporter, uniqExactIf(device, t >= toStartOfHour(now_at) - toIntervalHour(1)) AS lively, uniqExact(device) AS before
        FROM (SELECT device, t, any(exporter) AS exporter_of FROM volumes_1h WHERE t >= now_at - toIntervalDay(1) AND t <= now_at GROUP BY device, t)
        GROUP BY exporter
    )
SELECT
    device, 'unknown' AS role, toUInt64(0) AS peer, toUInt64(0) AS peer_device, toIPv6('::') AS peer_addr, toUInt8(0) AS proto, toUInt16(0) AS port,
    heard AS since, now_at AS until,
    least(1, 0.5 + quiet / (8 * (2 * longest + 7200))) AS strength,
    0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    format('something every hour: heard in {} of the 168 hours before, never quiet for more than {} h', toString(lately), toString(intDiv(longest, 3600) + 1)) AS expected,
    format('nothing for {} h, while {} other devices behind the same exporter are heard', toString(intDiv(quiet, 3600)), toString(lively)) AS observed
FROM gaps
INNER JOIN neighbours USING (exporter)
WHERE lately >= 151 AND quiet >= 2 * longest + 7200 AND lively >= 3 AND lively * 4 >= before * 3
ORDER BY device
