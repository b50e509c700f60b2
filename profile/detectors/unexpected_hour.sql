-- unexpected_hour: a device with a daily rhythm is active when it never is.
--
-- An hour is active if it carries more than 3 times the median hour of the device, hours
-- of silence as 0, and 20 kB; of a device that is silent most of the time, a quarter of the
-- median hour in which it is heard is enough, from 2 kB on. Sampled flows show no silence:
-- of them only hours that were heard count. The slot is the hour of the day +-1 (after
-- 21 days, of the week +-1); q = (a + mean) / (n + 1) estimates from a active of n
-- observations how likely activity is there. The device itself says whether it has a rhythm: of the hours
-- in which it was active before, each judged without itself, at most 5 % may have
-- been unexpected too, so a device that is active at random never fires. Hours are
-- those of the site's clocks. A day off by the calendar is compared with weekends and
-- other days off, a day worked with working days; neither speaks of ordinary days.
--
-- Minimum evidence: device learned and known for {min_days} days; 9 observations
-- of the slot; q < 0.05; 7 active hours on 5
-- days before, in at most 90 % of the hours.
-- Severity 0.25: it supports others, alone it is low. 0.60, told alone, if a device that
-- is silent most of the time does a quarter of its median hour at a time of day at which
-- it was never heard, in 21 observations: not of what people carry and sit at.
-- ATT&CK T1029.
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
        SELECT device, toStartOfHour(min(devices.first)) AS born
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched)
        GROUP BY device
        HAVING max(devices.last) >= born + toIntervalSecond(greatest({learning:UInt64}, 86400 * {min_days:UInt64}))
    ),
    hours AS
    (
        SELECT device, t, max(x1) AS x, sum(caught1) AS caught, sum(packets1) AS packets
        FROM
        (
            SELECT device, v.t AS t, observer, sum(bytes_out + bytes_in) AS x1, sum(samples) AS caught1, sum(packets_out) + sum(packets_in) AS packets1
            FROM volumes_1h AS v
            WHERE device IN (SELECT device FROM ages) AND scope IN ('lan', 'wan')
            GROUP BY device, t, observer
            HAVING sum(packets_out) > 0
        )
        GROUP BY device, t
    ),
    usual AS
    (
        SELECT
            device, any(born) AS born, groupArray((hours.t, hours.x)) AS past, arraySort(arrayMap(h -> h.2, past)) AS sorted, medianExact(hours.x) AS common,
            intDiv(dateDiff('hour', born, max(hours.t)) + 1, 2) - length(sorted) AS silent, -- of half of its hours
            sum(caught) < 0.9 * sum(packets) AS thin,
            silent > 0 AND NOT thin AS resting,
            multiIf(resting, least(20000, greatest(2000, common / 4)), thin, 3 * common + 20000, 3 * sorted[1 - silent] + 20000) AS keepalive
        FROM hours
        INNER JOIN ages USING (device)
        GROUP BY device
    ),
    now AS -- active hours, with those before
    (
        SELECT
            device, past, keepalive, common, resting,
            arrayJoin(arrayFilter(h -> h.2 > keepalive AND h.1 >= begin AND h.1 <= end AND h.1 >= born + toIntervalSecond(greatest({learning:UInt64}, 86400 * {min_days:UInt64})), past)) AS hour,
            hour.1 AS t, hour.2 AS x,
            arrayMap(a -> intDiv(toInt64(toUnixTimestamp(a)) + timezoneOffset(toTimeZone(a, {zone:String})), 3600),
                arrayConcat([born, t], arrayMap(h -> h.1, arrayFilter(h -> h.1 < t AND h.2 > keepalive, past)))) AS clocks, -- hours that clocks show, since 1970
            arrayMap(c -> (c, has({off:Array}, intDiv(c, 24)) OR has({work:Array}, intDiv(c, 24)),
                has({off:Array}, intDiv(c, 24)) OR (intDiv(c, 24) + 3) % 7 > 4 AND NOT has({work:Array}, intDiv(c, 24))), clocks) AS active -- (clock, special, free)
        FROM usual
        INNER JOIN touched USING (device)
    ),
    moody AS -- kinds whose hours say little
    (
        SELECT device
        FROM
        (
            SELECT device, toString(kinds.kind) AS word, 0 AS weight FROM kinds FINAL WHERE site = {site:String}
            UNION ALL
            SELECT device, toString(kind_decisions.kind), 1 FROM kind_decisions FINAL WHERE site = {site:String} AND kind != ''
        )
        GROUP BY device
        HAVING argMax(word, weight) IN ('computer', 'phone', 'server', 'infrastructure')
    ),
    seen AS
    (
        SELECT
            *, active[1].1 AS clock_born, active[2].1 AS clock, active[2].2 AS special, active[2].3 AS free, arraySlice(active, 3) AS heard,
            clock - clock_born AS span,
            span >= 504 AND NOT special ? 168 : 24 AS period,
            -- a quarter of a common hour, at a time of day at which it was never heard
            resting AND x >= common / 4 AND NOT arrayExists(h -> h.1 < t - toIntervalHour(6) AND (dateDiff('hour', h.1, t) + 1) % 24 <= 2, past) AS waking
        FROM now
        WHERE length(heard) >= 7 AND length(heard) <= 0.9 * span AND length(arrayDistinct(arrayMap(a -> intDiv(a.1 - clock_born, 24), heard))) >= 5
    ),
    judged AS
    (
        SELECT
            *,
            arrayMap(a -> a.1, arrayFilter(a -> special ? a.3 = free : NOT a.2, heard)) AS list, -- on days like this one
            arrayFilter(d -> d >= intDiv(clock_born, 24) AND d < intDiv(clock, 24), arrayConcat({off:Array}, {work:Array})) AS marked,
            special ? arrayCount(d -> (has({off:Array}, d) OR (d + 3) % 7 > 4 AND NOT has({work:Array}, d)) = free, range(toUInt32(intDiv(clock_born, 24)), toUInt32(intDiv(clock, 24))))
                : intDiv(span, period) - arrayCount(d -> (intDiv(clock, 24) - d) * 24 % period = 0, marked) AS times,
            length(list) / (special ? 24 * times : span - 24 * length(marked)) AS mean,
            arrayCount(a -> (a + period - clock % period + 1) % period <= 2, list) AS hits,
            3 * times AS n,
            (hits + mean) / (n + 1) AS q,
            -- leave one out: how many of the earlier active hours stood alone
            arrayCount(b -> (arrayCount(a -> (a + period - b % period + 1) % period <= 2, list) - 1 + mean) / n < 0.05, list) AS alone
        FROM seen
        WHERE n >= 9
    )
SELECT
    device, 'unknown' AS role, toUInt64(0) AS peer, toUInt64(0) AS peer_device, toIPv6('::') AS peer_addr, toUInt8(0) AS proto, toUInt16(0) AS port,
    toDateTime64(t, 3, 'UTC') AS since, toDateTime64(t, 3, 'UTC') + toIntervalHour(1) AS until,
    1. AS strength,
    0.9 AS confidence,
    n >= 21 AND waking AND device NOT IN (SELECT device FROM moody) ? 0.6 : toFloat64({severity:Float64}) AS severity,
    format('no activity at {} {}{}: {} of {} hours around it in {} days', formatDateTime(t, '%H:%i', {zone:String}), {zone:String},
        multiIf(special, free ? ' on a day off' : ' on a day worked', period = 168, ' on a ' || dateName('weekday', t, {zone:String}), ''), toString(hits), toString(n), toString(intDiv(span, 24))) AS expected,
    format('{} within the hour, usually up to {}', formatReadableSize(x), formatReadableSize(keepalive)) AS observed
FROM judged
WHERE q < {max_q:Float64} AND alone <= 0.05 * length(list)
ORDER BY device, t
