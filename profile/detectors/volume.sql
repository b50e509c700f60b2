-- volume: far more traffic in an hour than the device ever had.
--
-- Robust z of y = ln(1 + bytes): (y - m) / sqrt(max(s, 0.25)^2 + 1/c + 1/c_base), m the
-- median and s = 1.4826 * MAD of a cell of earlier hours, hours of silence as 0;
-- c the packet samples behind it, only where flows are sampled. Cell: the same
-- hour of the week +-1 over 28 days (8 hours or more); else the same hour of the
-- day +-1 on working days or weekends over 14 days (14); else all hours (48).
-- The device's own largest hour is a bound as well: bursts are normal for some; the hour
-- just before does not count, since what begins in one hour goes on in the next. What
-- goes out and is a twentieth of what comes in is how a download is acknowledged.
-- Hours are those of the site's clocks. A day off by the calendar is compared with
-- weekends and other days off of 28 days, a day worked with working days; neither
-- speaks of ordinary days.
--
-- Minimum evidence: device learned; z >= 6; 4 times the largest of the hours before; 30
-- samples; at least 1 MB over the expected, of uploads an eighth of what a usual day has,
-- from 30 kB on. Severity 0.40, of what came in 0.28; 0.75, told alone, of an upload of
-- 256 kB that is ten times the largest hour and more than a usual day has, z >= 8: not of
-- cameras, which somebody may watch from afar, and not of what is no thing.
-- ATT&CK T1041, T1496; ICS T0882.
WITH
    touched AS
    (
        SELECT device, toStartOfHour(min(contacts.first)) AS begin, toStartOfHour(max(contacts.last)) AS end
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
            AND scope IN ('lan', 'wan') AND ({device:UInt64} = 0 OR device = {device:UInt64})
        GROUP BY device
    ),
    ages AS
    (
        SELECT device, toStartOfHour(min(devices.first)) + toIntervalHour(1) AS born
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched)
        GROUP BY device
    ),
    busy AS -- whose hour may be large enough: of the others the past need not be read
    (
        SELECT device
        FROM volumes_1h AS v
        WHERE device IN (SELECT device FROM touched) AND scope IN ('lan', 'wan') AND v.t >= (SELECT min(begin) FROM touched) AND v.t <= (SELECT max(end) FROM touched)
        GROUP BY device, v.t, scope
        HAVING sum(bytes_out) >= least({min_upload:UInt64}, {min_bytes:UInt64}) OR sum(bytes_in) >= {min_bytes:UInt64}
    ),
    hours AS
    (
        SELECT device, metric, t, max(x1) AS x, argMax(c1, x1) AS c
        FROM
        (
            SELECT
                device, t, tupleElement(m, 1) AS metric, endsWith(metric, '_out') AND 20 * b_out < b_in ? 0 : tupleElement(m, 2) AS x1,
                -- of the day: a long flow counts its samples in the hour in which it began
                sum(caught) OVER (PARTITION BY device, observer, toDate(t)) / sum(packets) OVER (PARTITION BY device, observer, toDate(t)) AS share,
                share < 0.9 ? share * packets : 0 AS c1
            FROM
            (
                SELECT device, v.t AS t, observer, scope, sum(bytes_out) AS b_out, sum(bytes_in) AS b_in, sum(samples) AS caught, sum(packets_out) + sum(packets_in) AS packets
                FROM volumes_1h AS v
                WHERE device IN (SELECT device FROM busy) AND scope IN ('lan', 'wan')
                GROUP BY device, t, observer, scope
            )
            ARRAY JOIN [(concat(toString(scope), '_out'), b_out), (concat(toString(scope), '_in'), b_in)] AS m
        )
        GROUP BY device, metric, t
    ),
    days AS -- what a usual day comes to, and so the least that is worth a word
    (
        SELECT device, metric, medianExact(b) AS daily, metric = 'wan_out' ? least({min_bytes:UInt64}, greatest({min_upload:UInt64}, intDiv(daily, 8))) : {min_bytes:UInt64} AS least_bytes
        FROM (SELECT device, metric, toDate(t) AS day, sum(x) AS b FROM hours GROUP BY device, metric, day)
        GROUP BY device, metric
    ),
    loud AS
    (
        SELECT hours.device AS device, metric, t, x, c, born, least_bytes, daily
        FROM hours
        INNER JOIN touched USING (device)
        INNER JOIN ages USING (device)
        INNER JOIN days USING (device, metric)
        WHERE t >= begin AND t <= end AND x >= least_bytes AND t >= born + toIntervalSecond({learning:UInt64}) AND (c = 0 OR c >= 30)
    ),
    compared AS
    (
        SELECT
            loud.device AS device, loud.metric AS metric, loud.t AS t, any(loud.x) AS x, any(loud.c) AS c, any(loud.born) AS born, any(loud.least_bytes) AS least_bytes, any(loud.daily) AS daily,
            maxIf(h.x, h.t < loud.t - toIntervalHour(1)) AS largest,
            groupArrayIf((h.t, h.x), h.t < loud.t AND h.t >= greatest(loud.born, loud.t - toIntervalDay(28))) AS heard
        FROM loud
        INNER JOIN hours AS h ON h.device = loud.device AND h.metric = loud.metric
        GROUP BY device, metric, t
        HAVING x > {times_largest:Float64} * largest
    ),
    moody AS -- kinds whose amounts say little
    (
        SELECT device
        FROM
        (
            SELECT device, toString(kinds.kind) AS word, 0 AS weight FROM kinds FINAL WHERE site = {site:String}
            UNION ALL
            SELECT device, toString(kind_decisions.kind), 1 FROM kind_decisions FINAL WHERE site = {site:String} AND kind != ''
        )
        GROUP BY device
        HAVING argMax(word, weight) IN ('camera', 'nvr', 'computer', 'phone', 'server', 'infrastructure')
    ),
    -- One step each of what the next names often: the engine writes an alias out wherever it stands.
    shown AS -- the hour that clocks showed, since 1970
    (
        SELECT *, intDiv(toInt64(toUnixTimestamp(t)) + timezoneOffset(toTimeZone(t, {zone:String})), 3600) AS clock
        FROM compared
    ),
    remembered AS
    (
        SELECT
            *,
            -- every hour since the device was born, silent ones too: (hours before t, bytes)
            mapFromArrays(arrayMap(h -> dateDiff('hour', h.1, t), heard), arrayMap(h -> h.2, heard)) AS by_age,
            arrayMap(a -> (a, log(1 + by_age[a]), intDiv(toInt64(toUnixTimestamp(t)) - 3600 * a + timezoneOffset(toTimeZone(t - toIntervalHour(a), {zone:String})), 3600)),
                range(1, toUInt32(greatest(least(dateDiff('hour', born, t), 672), 0)) + 1)) AS past,
            has({off:Array}, intDiv(clock, 24)) OR has({work:Array}, intDiv(clock, 24)) AS special,
            has({off:Array}, intDiv(clock, 24)) OR (intDiv(clock, 24) + 3) % 7 > 4 AND NOT has({work:Array}, intDiv(clock, 24)) AS free
        FROM shown
    ),
    alike AS
    (
        SELECT
            *,
            arrayFilter(p -> special OR NOT (has({off:Array}, intDiv(p.3, 24)) OR has({work:Array}, intDiv(p.3, 24))), past) AS comparable,
            arrayFilter(p -> (clock - p.3 + 1) % 168 <= 2 AND NOT special, comparable) AS same_week_hour,
            arrayFilter(p -> p.1 <= (special ? 672 : 336) AND (clock - p.3 + 1) % 24 <= 2
                AND (has({off:Array}, intDiv(p.3, 24)) OR (intDiv(p.3, 24) + 3) % 7 > 4 AND NOT has({work:Array}, intDiv(p.3, 24))) = free, comparable) AS same_day_hour
        FROM remembered
    ),
    chosen AS
    (
        SELECT
            *,
            multiIf(length(same_week_hour) >= 8, same_week_hour, length(same_day_hour) >= 14, same_day_hour, past) AS cell,
            multiIf(
                length(same_week_hour) >= 8, format('around {} {} on a {}', formatDateTime(t, '%H:%i', {zone:String}), {zone:String}, dateName('weekday', t, {zone:String})),
                length(same_day_hour) >= 14, format('around {} {} on {}', formatDateTime(t, '%H:%i', {zone:String}), {zone:String}, free ? 'weekends and days off' : 'working days'),
                'in any hour') AS season,
            arrayMap(p -> p.2, cell) AS y,
            arrayReduce('medianExact', y) AS m
        FROM alike
    ),
    cells AS
    (
        SELECT
            *,
            1.4826 * arrayReduce('medianExact', arrayMap(v -> abs(v - m), y)) AS s,
            (log(1 + x) - m) / sqrt(pow(greatest(s, 0.25), 2) + (c > 0 ? 1 / c : 0)) AS z
        FROM chosen
    )
SELECT
    device, 'unknown' AS role, toUInt64(0) AS peer, toUInt64(0) AS peer_device, toIPv6('::') AS peer_addr, toUInt8(0) AS proto, toUInt16(0) AS port,
    toDateTime64(t, 3, 'UTC') AS since, toDateTime64(t, 3, 'UTC') + toIntervalHour(1) AS until,
    0.3 + 0.7 * greatest(0, least(1, (z - 4) / 4)) AS strength,
    (length(y) >= 48 ? 0.9 : 0.7) AS confidence,
    multiIf(endsWith(metric, '_in'), 0.7 * {severity:Float64},
        metric = 'wan_out' AND x >= {gross_bytes:UInt64} AND x >= 10 * largest AND x > daily AND z >= 8 AND device NOT IN (SELECT device FROM moody), 0.75, {severity:Float64}) AS severity,
    format('{} of {} {} ({} to {}), never more than {}', formatReadableSize(exp(m) - 1), direction, season,
        formatReadableSize(greatest(exp(m - 3 * s) - 1, 0)), formatReadableSize(exp(m + 3 * s) - 1), formatReadableSize(largest)) AS expected,
    format('{} of {} within the hour', formatReadableSize(x), transform(metric, ['lan_out', 'lan_in', 'wan_out', 'wan_in'],
        ['traffic to the site', 'traffic from the site', 'upload', 'download'], metric) AS direction) AS observed
FROM cells
WHERE length(past) >= 48 AND length(y) >= 8 AND z >= {min_z:Float64} AND x - (exp(m) - 1) >= least_bytes
ORDER BY device, metric, t
