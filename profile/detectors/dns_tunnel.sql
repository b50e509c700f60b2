-- dns_tunnel: a device asks one resolver so much, in such long questions, that the
-- names carry data.
--
-- Questions of an hour to one server of DNS. A question is 60 to 85 octets
-- with its headers; names that carry data fill it: 100 on average, at least
-- {min_questions} of them; or any length at 50 times the pace of the device's
-- busiest day and {many_questions} of them.
--
-- Minimum evidence: that many questions. Long questions in any state of learning;
-- many questions after a day. Sampled flows are scaled; 30 samples.
-- Severity 0.70. ATT&CK T1048.003, T1071.004; ICS T0882, T0869.
WITH
    touched AS
    (
        SELECT device, peer, min(contacts.first) AS since
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND scope IN ('lan', 'wan') AND role IN ('client', 'unknown') AND port = 53 AND proto IN (6, 17)
        GROUP BY device, peer
        HAVING sum(bytes_out) > 90 * sum(packets_out) OR sum(packets_out) >= 100
    ),
    asked AS
    (
        SELECT
            device, peer, observer, toStartOfHour(c.first) AS slot, any(c.peer_device) AS other, any(c.peer_addr) AS address, any(c.proto) AS a_proto, min(c.first) AS begun, max(c.last) AS until,
            sum(bytes_out) AS b_out, sum(bytes_in) AS b_in, sum(packets_out) AS questions, sum(samples) AS n_samples,
            b_out / greatest(questions, 1) AS size, questions * least(1, 3600000 / greatest(dateDiff('millisecond', begun, until), 1)) AS pace
        FROM contacts AS c
        INNER JOIN touched USING (device, peer)
        WHERE log = {log:UInt64} AND batch_index + 4000 > {after:UInt64} AND batch_index <= {upto:UInt64} AND c.last > touched.since - toIntervalHour(1)
            AND c.last > (SELECT min(since) FROM touched) - toIntervalHour(1) -- so that older batches are not read
            AND c.scope IN ('lan', 'wan') AND c.role IN ('client', 'unknown') AND c.port = 53
        GROUP BY device, peer, observer, slot
        HAVING size >= 100 AND questions >= {min_questions:UInt64} OR pace >= {many_questions:UInt64}
    ),
    worst AS (SELECT device, peer, argMax(tuple(asked.*), b_out) AS r FROM asked WHERE n_samples >= 30 GROUP BY device, peer),
    days AS
    (
        SELECT device, groupArray((day, n)) AS list
        FROM
        (
            SELECT device, day, observer, sum(packets_out) AS n
            FROM edges
            WHERE device IN (SELECT device FROM touched) AND edges.port = 53 AND role IN ('client', 'unknown')
            GROUP BY device, day, observer
        )
        GROUP BY device
    )
SELECT
    device, 'client' AS role, peer, r.5 AS peer_device, r.6 AS peer_addr, r.7 AS proto, toUInt16(53) AS port,
    r.8 AS since, r.9 AS until,
    least(1, 0.75 + 0.25 * log10(greatest(r.12 / {min_questions:UInt64}, 1))) AS strength,
    r.13 < r.12 ? 0.85 : 0.95 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    most > 0 ? format('at most {} questions a day, of 60 to 85 octets', toString(most)) : 'questions of 60 to 85 octets' AS expected,
    format('{} questions of {} octets to <peer> within an hour: {} out, {} in', toString(r.12), toString(round(r.14)), formatReadableSize(r.10), formatReadableSize(r.11)) AS observed
FROM
(
    SELECT device, peer, r, arrayMax(arrayMap(d -> d.2, arrayFilter(d -> d.1 < today, days.list))) AS most -- of its busiest day
    FROM (SELECT *, toDate(min(r.8) OVER ()) AS today FROM worst) AS worst
    LEFT JOIN days USING (device)
)
WHERE r.14 >= 100 AND r.12 >= {min_questions:UInt64} OR most > 0 AND r.15 >= {many_questions:UInt64} AND r.15 >= 50 * most / 24
ORDER BY device, peer
