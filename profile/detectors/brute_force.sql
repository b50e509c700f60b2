-- brute_force: many short sessions with one service that asks for a password.
--
-- Sessions of ten minutes between two hosts on a port for log-ins, answered, of
-- few packets and octets each; at least {min_sessions}, {min_stranger} with a host
-- outside that had none on any day before ({min_telnet} if the device speaks telnet to
-- it, which nothing but a bot does), and five times the pace of the pair's busiest
-- day. Flows of both directions count as one session; what lasted longer than ten
-- minutes counts in proportion. Web pages ask for passwords too, but programs poll
-- them: of a page inside the site it takes {min_web} requests, answered or not (an
-- exporter may show one direction only), and twice all of the pair's busiest day.
--
-- Minimum evidence: that many sessions, 4 to 60 packets and at most 20 kB each; any
-- state of learning. Of web pages more than SYN in half of them, and a day of history.
-- Not on sampled flows, whose sessions are not counted.
-- Severity 0.80 by the device, 0.65 against it. ATT&CK T1110; ICS T0812, T0859.
WITH
    [80, 81, 443, 8000, 8080, 8081, 8443, 8888] AS pages,
    touched AS
    (
        SELECT device, role, peer, port, min(contacts.first) AS begun
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND scope IN ('lan', 'wan') AND role IN ('client', 'server') AND proto = 6
            AND (has(pages, port) AND (scope = 'lan' OR role = 'server') OR port IN (21, 22, 23, 25, 110, 139, 143, 389, 445, 465, 587, 993, 995, 1433, 1521, 2222, 2323, 3306, 3389, 5432, 5900, 5901, 5985, 5986, 6379, 8291))
        GROUP BY device, role, peer, port
    ),
    bursts AS
    (
        SELECT
            device, role, peer, port, observer, intDiv(toUnixTimestamp64Milli(c.first), 120000) - arrayJoin(range(5)) AS slot, max(c.scope = 'wan') AS outside, any(c.peer_device) AS other, any(c.peer_addr) AS address, min(c.first) AS since, toDate(since) AS date, max(c.last) AS until, min(c.confidence) AS sure,
            sum(bytes_out) AS b_out, sum(bytes_in) AS b_in, sum(packets_out) + sum(packets_in) AS packets,
            has(pages, port) AS web, intDiv(sum(flows), b_out > 0 AND b_in > 0 ? 2 : 1) AS total, sum(samples) < packets AS is_sampled,
            toUInt64(total * least(1, 600000 / greatest(dateDiff('millisecond', since, until), 1))) AS sessions
        FROM contacts AS c
        INNER JOIN touched USING (device, role, peer, port)
        WHERE log = {log:UInt64} AND batch_index + 600 > {after:UInt64} AND batch_index <= {upto:UInt64} AND proto = 6
            AND c.last > touched.begun - toIntervalMinute(10)
            AND c.last > (SELECT min(begun) FROM touched) - toIntervalMinute(10) -- so that older batches are not read
        GROUP BY device, role, peer, port, observer, slot
        HAVING sessions >= multiIf(web, {min_web:UInt64}, port IN (23, 2323) AND role = 'client' AND outside, {min_telnet:UInt64}, {min_stranger:UInt64}) AND NOT is_sampled
            AND (web ? 2 * sum(failed) < total : b_out > 0 AND b_in > 0 AND packets >= 4 * total)
            AND packets <= 60 * total AND b_out + b_in <= 20000 * total
    ),
    busiest AS
    (
        SELECT device, role, peer, port, date, max(n) / 2 AS most
        FROM (SELECT DISTINCT device, role, peer, port, date FROM bursts) AS b
        INNER JOIN
        (
            SELECT device, role, peer, port, day, observer, sum(flows) AS n
            FROM edges
            WHERE (device, role, peer, port) IN (SELECT device, role, peer, port FROM bursts) AND edges.proto = 6
            GROUP BY device, role, peer, port, day, observer
        ) AS e USING (device, role, peer, port)
        WHERE e.day < date
        GROUP BY device, role, peer, port, date
    ),
    ages AS
    (
        SELECT device, min(devices.first) AS born
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched WHERE has(pages, port))
        GROUP BY device
    )
SELECT
    device, toString(bursts.role) AS role, bursts.peer AS peer, max(bursts.other) AS peer_device, any(bursts.address) AS peer_addr, toUInt8(6) AS proto, bursts.port AS port,
    min(bursts.since) AS since, max(bursts.until) AS until,
    least(1, 0.7 + 0.3 * log10(greatest(max(sessions), 20) / 20)) AS strength,
    least(0.95, min(sure) / 100) AS confidence,
    bursts.role = 'client' ? toFloat64({severity:Float64}) : 0.65 AS severity,
    max(most) > 0 ? format('at most {} such sessions a day', toString(round(max(most)))) : 'no such sessions: none on any day before' AS expected,
    format('{} short sessions {} <peer> by <service> within 10 minutes', toString(max(sessions)), bursts.role = 'client' ? 'with' : 'from') AS observed
FROM bursts
LEFT JOIN busiest USING (device, role, peer, port, date)
LEFT JOIN ages USING (device)
WHERE web ? sessions >= 2 * most AND bursts.since >= born + toIntervalDay(1) : sessions >= 5 * most / 144 AND (sessions >= {min_sessions:UInt64} OR outside AND most = 0)
GROUP BY device, bursts.role, bursts.peer, bursts.port
ORDER BY device, role, peer, port
