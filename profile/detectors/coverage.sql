-- coverage: an exporter stopped showing what it showed, so the site is blind there.
-- It speaks to the operator, of an exporter and not of a device: no attack is needed.
--
-- Told of are an exporter that nothing came from for an hour while others are heard,
-- or, when nothing comes from anybody (a lull, judged by this machine's clock), for
-- five minutes and three times its longest pause of a day; a network (/24, /64) with
-- {min_devices} devices or more of which an exporter that is heard showed nothing for
-- two hours; a network of which the last three hours show one direction of TCP only;
-- a sampling rate that rose to 9.5 times the median of a day.
--
-- Minimum evidence: heard in 20 of the 24 hours before; both directions in 12 hours
-- of a day before; 6 hours before of another rate. Told for a day, then it is how
-- things are. An alert closes when what it tells is over.
-- Severity 0.25: it is listed, and nobody is called. ATT&CK T1562; ICS T0815.
WITH
    {clock:DateTime64} AS clock,
    clock > toDateTime64(0, 3, 'UTC') AS lull,
    (
        SELECT quantileExact(0.99)(contacts.last)
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
    ) AS heard_to,
    lull ? clock : toDateTime64(heard_to, 3, 'UTC') AS front,
    pauses AS
    (
        SELECT exporter, arrayMax(arrayDifference(arraySort(groupUniqArray(toUnixTimestamp(toStartOfMinute(contacts.last)))))) AS pause
        FROM contacts
        WHERE lull AND log = {log:UInt64} AND contacts.last > clock - toIntervalDay(1) AND contacts.last <= clock
        GROUP BY exporter
    ),
    hours AS
    (
        SELECT exporter, network, t, max(coverage_hours.last) AS heard, max(sent) AS p_out, max(got) AS p_in, max(rate) AS sampled, max(devices) AS n
        FROM coverage_hours
        WHERE site = {site:String} AND t <= front AND t >= front - toIntervalDay(4)
        GROUP BY exporter, network, t
    ),
    exporters AS
    (
        SELECT
            exporter, max(hours.heard) AS heard, groupUniqArray(t) AS ts, max(t) AS newest,
            arraySort(groupArray((t, sampled))) AS rates,
            arrayFilter(r -> r.1 < newest AND r.1 >= newest - 86400, rates) AS day,
            arrayElement(arraySort(arrayMap(r -> r.2, day)), intDiv(length(day) + 1, 2)) AS usual,
            arrayFilter(r -> r.2 >= 9.5 * usual AND r.1 >= newest - 86400, rates) AS raised
        FROM (SELECT exporter, t, max(heard) AS heard, max(sampled) AS sampled FROM hours GROUP BY exporter, t) AS hours
        GROUP BY exporter
    ),
    networks AS
    (
        SELECT
            exporter, network, max(hours.heard) AS heard, groupUniqArray(t) AS ts, max(n) AS n_devices,
            groupArray((t, p_out, p_in)) AS ways,
            arrayFilter(w -> w.1 >= toStartOfHour(front) - 3 * 3600 AND w.1 < toStartOfHour(front), ways) AS late,
            arrayCount(w -> w.2 > 0 AND w.3 > 0 AND w.1 < toStartOfHour(front) - 3 * 3600 AND w.1 >= toStartOfHour(front) - 27 * 3600, ways) AS n_both,
            length(late) = 3 AND arrayAll(w -> w.2 >= 20 AND w.3 = 0, late) AS no_return,
            length(late) = 3 AND arrayAll(w -> w.3 >= 20 AND w.2 = 0, late) AS no_sending
        FROM hours
        WHERE network != toIPv6('::')
        GROUP BY exporter, network
    ),
    blind AS
    (
        SELECT
            exporter, toIPv6('::') AS network, heard AS since,
            lull ? 'nothing comes from it any more, nor from any other exporter' : 'nothing comes from it any more, while others are heard' AS what,
            lull ? format('no pause longer than {} minutes', toString(intDiv(pause, 60))) : 'something every hour' AS before
        FROM exporters
        LEFT JOIN pauses USING (exporter)
        WHERE heard < front - (lull ? greatest(300, 3 * pause) : 3600) AND heard >= front - toIntervalHour(25)
            AND arrayCount(h -> h >= toStartOfHour(heard) - 86400, ts) >= 20
        UNION ALL
        SELECT
            exporter, toIPv6('::'), toDateTime64(raised[1].1, 3, 'UTC'),
            format('it samples one in {} packets: what is small or short is not seen', toString(toUInt64(round(rates[-1].2)))), format('one in {}', toString(toUInt64(round(usual))))
        FROM exporters
        WHERE length(day) >= 6 AND notEmpty(raised) AND rates[-1].2 >= 9.5 * usual AND newest >= front - toIntervalHour(2)
        UNION ALL
        SELECT
            exporter, network, heard, 'it shows nothing of the network any more', format('something every hour, of up to {} devices', toString(n_devices))
        FROM networks
        WHERE heard < front - toIntervalHour(2) AND heard >= front - toIntervalHour(26) AND n_devices >= {min_devices:UInt64}
            AND arrayCount(h -> h >= toStartOfHour(heard) - 86400, ts) >= 20
            AND exporter IN (SELECT exporter FROM exporters WHERE heard >= front - toIntervalMinute(30))
        UNION ALL
        SELECT
            exporter, network, toDateTime64(toStartOfHour(front) - 3 * 3600, 3, 'UTC'),
            format('it shows only what devices of the network {}', no_return ? 'send' : 'receive'), 'both directions'
        FROM networks
        WHERE n_both >= 12 AND (no_return OR no_sending) AND NOT lull
    ),
    named AS
    (
        SELECT
            *, toUInt128(exporter) AS number,
            bitShiftRight(number, 32) = 65535 ? bitOr(toUInt64(0xE4E4000000000000), toUInt64(number % 4294967296)) : bitOr(toUInt64(0xE6E6000000000000), bitShiftRight(cityHash64(exporter), 16)) AS id,
            replaceOne(IPv6NumToString(network), '::ffff:', '') AS net,
            network = toIPv6('::') ? '' : format(' ({}{})', net, position(net, ':') > 0 ? '/64' : '/24') AS place
        FROM blind
    )
SELECT
    id AS device, 'unknown' AS role, cityHash64(exporter, network, what) AS peer, toUInt64(0) AS peer_device, network = toIPv6('::') ? exporter : network AS peer_addr,
    toUInt8(0) AS proto, toUInt16(0) AS port, since, greatest(since, front) AS until,
    1. AS strength,
    0.95 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    before AS expected,
    concat(what, place) AS observed
FROM named
WHERE {device:UInt64} = 0 OR id = {device:UInt64}
ORDER BY device, network, observed
