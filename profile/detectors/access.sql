-- access: somebody from outside gets into a device that never let in anybody like
-- that.
--
-- A peer outside began a TCP session with a service of the device, and both sides
-- said more than handshakes do (the device 60 octets a packet; the peer 100 octets
-- beside 40 a packet, for most of its packets are ACKs). Strength 1 if nobody outside
-- ever got into this service; else 1 - min(1, 20 * P_new), P_new = (f1 + 0.1) /
-- (n + 10) as in new_destination, over the clients of the service: a server that
-- always meets strangers fires for none. While a device is only learned the first
-- stranger alone counts: things are rarely meant to be reached from outside. Ports from
-- 32768 and what a device's first five minutes show are left out: there a session that
-- is older than what is known of it looks as if the server began it.
--
-- Minimum evidence: one answered session; role at least 70 % sure; any state of
-- learning. A client is new for one day. Sampling only delays: one packet with
-- content each way proves the session.
-- Severity 0.65. ATT&CK T1133, T1190; ICS T0883, T0822, T0819.
WITH
    touched AS
    (
        SELECT device, peer, port, min(contacts.first) AS since
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND scope = 'wan' AND role = 'server' AND confidence >= 70 AND proto = 6 AND port < 32768
        GROUP BY device, peer, port
    ),
    ages AS
    (
        SELECT device, min(devices.first) AS born, born + toIntervalSecond({learning:UInt64}) AS learned
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched)
        GROUP BY device
    ),
    clients AS
    (
        SELECT
            device, peer, port, min(edges.first) AS begun, max(edges.last) AS seen, groupUniqArray(day) AS days, anyLast(peer_addr) AS address, max(edges.confidence) AS sure,
            sum(bytes_out) AS b_out, sum(bytes_in) AS b_in
        FROM edges
        WHERE (device, port) IN (SELECT device, port FROM touched) AND scope = 'wan' AND role = 'server' AND edges.proto = 6
        GROUP BY device, peer, port
        HAVING sum(bytes_out) > 60 * sum(packets_out) AND sum(bytes_in) > 40 * sum(packets_in) + 100 AND b_out > 0
    ),
    known AS
    (
        SELECT device, port, groupArray((begun, days)) AS list
        FROM clients
        GROUP BY device, port
    ),
    judged AS
    (
        SELECT
            clients.device AS device, clients.peer AS peer, clients.port AS port, clients.begun AS begun, clients.seen AS seen, clients.address AS address, clients.sure AS sure,
            clients.b_out AS b_out, clients.b_in AS b_in, ages.learned AS learned, ages.born AS born,
            arrayFilter(x -> x.1 < begun, list) AS before,
            arrayMap(x -> arrayCount(d -> d <= toDate(begun) AND d > toDate(begun) - 28, x.2), before) AS day_counts,
            (arrayCount(n -> n = 1, day_counts) + 0.1) / (arraySum(day_counts) + 10) AS p_new,
            empty(before) ? 1. : 1 - least(1, 20 * p_new) AS novelty
        FROM clients
        INNER JOIN touched USING (device, peer, port)
        INNER JOIN ages USING (device)
        INNER JOIN known USING (device, port)
        WHERE touched.since < clients.begun + toIntervalDay(1)
    )
SELECT
    device, 'server' AS role, peer, toUInt64(0) AS peer_device, address AS peer_addr, toUInt8(6) AS proto, port,
    begun AS since, least(seen, begun + toIntervalDay(1)) AS until,
    novelty AS strength,
    0.9 * least(1, 0.15 + sure / 100) AS confidence,
    toFloat64({severity:Float64}) AS severity,
    empty(before) ? 'nobody from outside at this service' : format('only the {} networks outside that got in before', toString(length(before))) AS expected,
    format('<peer>, outside, was let in by <service>: {} in, {} out', formatReadableSize(b_in), formatReadableSize(b_out)) AS observed
FROM judged
WHERE novelty >= {min_strength:Float64} AND (begun >= learned OR empty(before) AND begun > born + toIntervalMinute(5))
ORDER BY device, peer, port
