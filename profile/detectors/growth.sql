-- growth: a device sends more out of the site from day to day, too slowly for any hour
-- to stand out.
--
-- Days of the site's clocks of the last 28, whole ones on which the device was heard in
-- half of the hours it is heard in usually: the first seven, the last three, and those
-- between. Told if the least of the last three is {times} times the most of the first
-- seven, and the growth was gradual: the median rises by a fifth from the first to those
-- between, and from those to the last, and seven of ten days had more than the third day
-- before. What grows at once is for volume and exfiltration.
--
-- Minimum evidence: device learned, 14 days; {min_bytes} octets a day more than before;
-- not sampled. Judged twice a day.
-- Severity 0.60. ATT&CK T1030, T1041; ICS T0882.
WITH
    (
        SELECT (min(contacts.first), max(contacts.last)) FROM contacts WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
    ) AS span,
    toDate(span.2, {zone:String}) AS today,
    intDiv(toUnixTimestamp64Milli(span.1), 43200000) < intDiv(toUnixTimestamp64Milli(span.2), 43200000) AS turned, -- so that what goes on stays one alert
    days AS
    (
        SELECT device, day, max(out_1) AS x, max(hours_1) AS n, min(whole_1) AS is_whole
        FROM
        (
            SELECT device, observer, toDate(t, {zone:String}) AS day, sum(bytes_out) AS out_1, bitCount(groupBitOr(bitShiftLeft(toUInt32(1), toHour(t, {zone:String})))) AS hours_1, sum(samples) >= 0.9 * (sum(packets_out) + sum(packets_in)) AS whole_1
            FROM volumes_1h
            WHERE turned AND scope = 'wan' AND t >= toDateTime(today - 28, {zone:String}) AND t < toDateTime(today, {zone:String}) AND ({device:UInt64} = 0 OR device = {device:UInt64})
            GROUP BY device, observer, day
        )
        GROUP BY device, day
    ),
    lists AS
    (
        SELECT
            device,
            arraySort(groupArray((day, toFloat64(x), n))) AS heard,
            arrayElement(arraySort(d -> d.3, heard), intDiv(length(heard) + 1, 2)).3 AS usual,
            arrayFilter(d -> 2 * d.3 >= usual AND d.1 > heard[1].1, heard) AS list,
            length(list) AS n_days,
            arrayMap(d -> d.2, list) AS xs,
            arraySort(arraySlice(xs, 1, 7)) AS early, arraySort(arraySlice(xs, 8, n_days - 10)) AS between, arraySort(arraySlice(xs, -3)) AS late
        FROM days
        GROUP BY device
        HAVING min(is_whole) AND max(day) >= today - 2 AND n_days >= 14
    )
SELECT
    device, 'unknown' AS role, toUInt64(0) AS peer, toUInt64(0) AS peer_device, toIPv6('::') AS peer_addr, toUInt8(0) AS proto, toUInt16(0) AS port,
    toDateTime64(toDateTime(arrayFirst(d -> d.2 > early[7], arraySlice(list, 8)).1, {zone:String}), 3, 'UTC') AS since,
    toDateTime64(span.2, 3, 'UTC') AS until,
    1. AS strength,
    0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    format('{} to {} a day out of the site, as in its first days', formatReadableSize(early[1]), formatReadableSize(early[7])) AS expected,
    format('sends more from day to day: {} a day between, {} to {} in the last three days, {} times what it was', formatReadableSize(between[intDiv(length(between) + 1, 2)]),
        formatReadableSize(late[1]), formatReadableSize(late[3]), toString(round(late[2] / greatest(early[4], 1), 1))) AS observed
FROM lists
WHERE late[1] >= {times:Float64} * early[7] AND late[1] - early[4] >= {min_bytes:UInt64}
    AND between[intDiv(length(between) + 1, 2)] >= 1.2 * early[4] AND late[2] >= 1.2 * between[intDiv(length(between) + 1, 2)]
    AND arrayCount(i -> xs[i] > xs[i - 3], range(8, toUInt32(n_days) + 1)) >= 0.7 * (n_days - 7)
ORDER BY device
