-- lateral: a learned device begins to use the administration of another device
-- of the site.
--
-- New are both the edge and, for most of the strength, the habit: 1 for a device
-- that never used such a port inside the site, 0.6 for one that did, elsewhere;
-- discounted by how often it finds new ones anyway (Good-Turing, as in
-- new_destination).
--
-- Minimum evidence: device learned; answered; role at least 60 % sure. An edge is
-- new for one day.
-- Severity 0.60. ATT&CK T1021, T1210, T1570; ICS T0886, T0866, T0867.
WITH
    touched AS
    (
        SELECT device, peer, proto, port, min(contacts.first) AS since
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND scope = 'lan' AND role = 'client' AND confidence >= 60 AND proto = 6
            AND port IN (22, 23, 135, 139, 445, 2222, 2323, 3389, 5555, 5900, 5985, 5986, 8291)
        GROUP BY device, peer, proto, port
    ),
    ages AS
    (
        SELECT device, min(devices.first) + toIntervalSecond({learning:UInt64}) AS learned
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched)
        GROUP BY device
    ),
    habits AS
    (
        SELECT
            device, peer, proto, port, min(edges.first) AS begun, max(edges.last) AS seen, groupUniqArray(day) AS days, anyLast(peer_device) AS other, anyLast(peer_addr) AS address,
            sum(bytes_out) AS b_out, sum(bytes_in) AS b_in, sum(flows) AS n_flows, sum(failed) + sum(refused) AS n_failed
        FROM edges
        WHERE device IN (SELECT device FROM touched) AND edges.scope = 'lan' AND edges.role = 'client' AND edges.proto = 6
            AND edges.port IN (22, 23, 135, 139, 445, 2222, 2323, 3389, 5555, 5900, 5985, 5986, 8291)
        GROUP BY device, peer, proto, port
    ),
    known AS
    (
        SELECT device, groupArray((begun, days)) AS list
        FROM habits
        GROUP BY device
    ),
    judged AS
    (
        SELECT
            habits.device AS device, habits.peer AS peer, proto, habits.port AS port, habits.begun AS begun, habits.seen AS seen, other, address, b_out, b_in,
            arrayFilter(x -> x.1 < begun, list) AS before,
            arrayMap(x -> arrayCount(d -> d <= toDate(begun) AND d > toDate(begun) - 28, x.2), before) AS day_counts,
            (arrayCount(n -> n = 1, day_counts) + 0.5) / (arraySum(day_counts) + 1) AS p_new,
            empty(before) ? 1. : 0.6 * (1 - least(1, 5 * p_new)) AS novelty
        FROM habits
        INNER JOIN ages USING (device)
        INNER JOIN known USING (device)
        INNER JOIN touched USING (device, peer, proto, port)
        WHERE begun >= learned AND touched.since < begun + toIntervalDay(1) AND n_failed * 2 < n_flows AND b_in > 0
    )
SELECT
    device, 'client' AS role, peer, other AS peer_device, address AS peer_addr, proto, port,
    begun AS since, least(seen, begun + toIntervalDay(1)) AS until,
    novelty AS strength,
    0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    empty(before) ? 'no administration of other devices, ever' : format('administration of the {} devices and ports it knows', toString(length(before))) AS expected,
    format('<service> on <peer>: {} out, {} in', formatReadableSize(b_out), formatReadableSize(b_in)) AS observed
FROM judged
WHERE novelty >= {min_strength:Float64}
ORDER BY device, peer, port
