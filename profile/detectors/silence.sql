-- silence: a device that was never quiet for long is not heard, or was not, while
-- its neighbours are.
--
-- A gap between two hours in which the device sent something, or since the last
-- one, against the longest of the 28 days before: twice that and two hours more.
-- In the gap at least three other devices behind the same exporter are heard, three
-- of four of those of the day before; and no two others fell silent with it: else
-- the exporter, the line or the power is away, and not the device. What is known by its
-- address only is not missed while another id is heard with that. The exporter is that
-- which shows the device most hours: another may see a little of it.
--
-- Minimum evidence: device learned; heard in nine of ten hours of the week before, or in
-- so many that chance makes a gap like this in one of a million ({max_p}); not if flows of
-- the last day or three were sampled, where nothing seen is nothing caught. That is told
-- from sums: a long flow counts its samples in the hour in which it began.
-- Severity 0.65; strength grows with the gap. ATT&CK T1489; ICS T0826, T0881, T0814.
WITH
    (
        SELECT (min(contacts.first), max(contacts.last)) FROM contacts WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
    ) AS span,
    toUInt32(toStartOfHour(span.1)) AS begin_hour,
    toUInt32(toStartOfHour(span.2)) AS now_hour,
    ages AS
    (
        SELECT device, toUInt32(toStartOfHour(min(devices.first))) AS born
        FROM devices
        WHERE site = {site:String}
        GROUP BY device
        HAVING max(devices.last) > span.2 - toIntervalDay(3)
    ),
    hours AS
    (
        SELECT device, arraySort(groupUniqArray(toUInt32(v.t))) AS list, topK(1)(exporter_of)[1] AS exporter,
            sumIf(v.caught, v.t > span.2 - toIntervalDay(3)) < 0.9 * sumIf(v.packets, v.t > span.2 - toIntervalDay(3))
                OR sumIf(v.caught, v.t > span.2 - toIntervalDay(1)) < 0.9 * sumIf(v.packets, v.t > span.2 - toIntervalDay(1)) AS is_sampled
        FROM
        (
            SELECT device, t, any(exporter) AS exporter_of, sum(samples) AS caught, sum(packets_out) + sum(packets_in) AS packets
            FROM volumes_1h
            WHERE device IN (SELECT device FROM ages) AND t > span.2 - toIntervalDay(29) AND t <= span.2
            GROUP BY device, t
            HAVING sum(packets_out) > 0
        ) AS v
        GROUP BY device
    ),
    gaps AS
    (
        SELECT
            device, exporter, born,
            arrayJoin(arrayFilter(g -> g.2 > begin_hour AND g.2 - g.1 >= 3 * 3600,
                arrayMap(i -> (list[i], i < length(list) ? list[i + 1] : now_hour, i = length(list)), range(1, toUInt32(length(list)) + 1)))) AS gap,
            gap.1 AS begun, gap.2 AS ended, gap.3 AS is_open,
            arrayFilter(t -> t <= begun AND t > begun - 2419200, list) AS before,
            arrayCount(t -> t > begun - 604800, before) AS lately,
            arrayMax(arrayMap(i -> before[i + 1] - before[i], range(1, toUInt32(length(before))))) - 3600 AS longest,
            ended - begun - 3600 AS quiet -- at least
        FROM hours
        INNER JOIN ages USING (device)
        WHERE length(list) > 24 AND NOT is_sampled
    ),
    judged AS
    (
        SELECT *, count() OVER (PARTITION BY exporter ORDER BY begun RANGE BETWEEN 3600 PRECEDING AND 3600 FOLLOWING) AS together
        FROM gaps
        WHERE (lately >= 151 OR quiet / 3600 * log(1 - (lately + 0.5) / 169) <= log({max_p:Float64})) AND quiet >= 2 * longest + 7200 AND begun + 3600 >= born + greatest({learning:UInt64}, 604800)
    ),
    neighbours AS
    (
        SELECT
            judged.device AS device, begun, ended, is_open, quiet, longest, lately, together,
            countIf(arrayExists(t -> t > begun AND t < ended OR t = now_hour AND is_open, h.list)) AS lively,
            countIf(arrayExists(t -> t <= begun AND t > begun - 86400, h.list)) AS known
        FROM hours AS h
        INNER JOIN judged ON judged.exporter = h.exporter
        WHERE h.device != judged.device
        GROUP BY ALL
    ),
    renamed AS
    (
        SELECT DISTINCT old.device AS id
        FROM (SELECT device, arrayJoin(device_lives.addresses) AS addr, device_lives.last AS seen FROM device_lives WHERE site = {site:String}) AS other
        INNER JOIN
        (
            SELECT device, arrayJoin(device_lives.addresses) AS addr, max(device_lives.last) AS seen
            FROM device_lives
            WHERE site = {site:String} AND device NOT IN (SELECT device FROM device_lives WHERE site = {site:String} AND identity = 'mac')
            GROUP BY device, addr
        ) AS old ON old.addr = other.addr
        WHERE other.device != old.device AND other.seen > old.seen AND old.addr NOT IN ('::', '::ffff:0.0.0.0')
    )
SELECT
    device, 'unknown' AS role, toUInt64(0) AS peer, toUInt64(0) AS peer_device, toIPv6('::') AS peer_addr, toUInt8(0) AS proto, toUInt16(0) AS port,
    toDateTime64(toDateTime(begun + 3600, 'UTC'), 3, 'UTC') AS since, toDateTime64(toDateTime(ended, 'UTC'), 3, 'UTC') AS until,
    least(1, 0.7 + 0.2 * quiet / (2 * longest + 7200)) AS strength,
    0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    format('something every hour: heard in {} of the 168 hours before, never quiet for more than {} h', toString(lately), toString(intDiv(longest, 3600) + 1)) AS expected,
    format('nothing for {} h{}, while {} other devices behind the same exporter were heard', toString(intDiv(quiet, 3600)), is_open ? '' : ', then back', toString(lively)) AS observed
FROM neighbours
WHERE together <= 2 AND lively >= 3 AND lively * 4 >= known * 3 AND device NOT IN (SELECT id FROM renamed)
    AND ({device:UInt64} = 0 OR device = {device:UInt64})
ORDER BY device, since
