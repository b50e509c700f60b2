-- drift: what a device did for a day while it was learned, and has not done since.
--
-- Learning takes what it sees for normal, so an attack that is there from the first
-- hour would stay unseen. Therefore a device is looked at again when three days of it
-- are known, and when it is learned: peers outside that it dealt with on one day only,
-- with {min_flows} flows or {min_bytes} octets sent and no mere download, unknown to other
-- devices on two days or more; administration of another device of the site, answered;
-- and who spoke to a controller in a protocol that can write to it, beside a client
-- that does so on all days.
--
-- Minimum evidence: nothing of it for a day, while the device is heard, and nobody
-- else took over from it, or it from somebody, within two of its pauses. Of peers
-- outside: the device has another one on two of three days, and at most {max_single} of a
-- day only, {few} in all: one whose peers always change proves nothing; or it has no
-- other at all and sent {min_bytes} octets. NTP and DNS are left out. Sampling only delays.
-- Severity 0.60. ATT&CK T1078, T1071; ICS T0859, T0869.
WITH
    (
        SELECT (min(contacts.first), max(contacts.last)) FROM contacts WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
    ) AS span,
    ages AS
    (
        SELECT
            device, min(devices.first) AS born, born + toIntervalDay(3) AS third, born + toIntervalSecond({learning:UInt64}) AS learned,
            third > span.1 AND third <= span.2 AND max(devices.last) > third - toIntervalDay(1) AS early,
            learned > span.1 AND learned <= span.2 AND max(devices.last) > learned - toIntervalDay(1) AS late
        FROM devices
        WHERE site = {site:String} AND ({device:UInt64} = 0 OR device = {device:UInt64})
        GROUP BY device
        HAVING early OR late
    ),
    peers AS
    (
        SELECT
            device, toString(role) AS side, scope, peer, anyLast(peer_device) AS other, anyLast(peer_addr) AS address, min(edges.first) AS begun, max(edges.last) AS seen,
            argMax(edges.proto, edges.flows) AS a_proto, argMax(edges.port, edges.flows) AS a_port, sum(flows) AS n_flows, sum(failed) + sum(refused) AS n_failed,
            sum(bytes_out) AS b_out, sum(bytes_in) AS b_in, dateDiff('hour', begun, seen) <= 24 AS is_single,
            least(7200, greatest(120, 4 * dateDiff('second', begun, seen) / n_flows)) AS pause, -- two of its pauses: a session is two flows or one
            bitShiftRight(toUInt128(address), bitShiftRight(toUInt128(address), 32) = 65535 ? 16 : 96) AS net,
            any(ages.born) AS born, any(early) AS is_early, any(late) AS is_late, any(third) AS at_third, any(learned) AS at_learned
        FROM edges
        INNER JOIN ages USING (device)
        WHERE device IN (SELECT device FROM ages)
            AND (edges.scope = 'wan' AND role IN ('client', 'unknown') AND NOT (edges.port IN (53, 123) AND edges.proto = 17)
                OR edges.scope = 'lan' AND role = 'client' AND edges.proto = 6 AND edges.port IN (22, 23, 135, 139, 445, 2222, 2323, 3389, 5555, 5900, 5985, 5986, 8291)
                OR role = 'server' AND edges.proto = 6 AND edges.port IN (102, 502, 789, 1911, 2404, 4840, 4911, 9600, 18245, 20000, 44818) AND bytes_out > 60 * packets_out)
        GROUP BY device, side, scope, peer
    ),
    habits AS
    (
        SELECT
            device, side, scope, count() AS n_peers, countIf(dateDiff('hour', begun, seen) >= 48) AS lasting,
            groupUniqArrayIf(500)(net, dateDiff('hour', begun, seen) >= 48) AS kept,
            groupArray(500)((peer, a_port, begun, seen, address, is_single, net)) AS list
        FROM peers
        GROUP BY device, side, scope
    ),
    single AS
    (
        SELECT *, arrayCount(x -> x.6 AND NOT has(kept, x.7), list) AS singles
        FROM peers
        INNER JOIN habits USING (device, side, scope)
        WHERE is_single AND n_failed * 2 < n_flows
            AND (is_early AND begun < born + toIntervalDay(2) AND seen <= at_third - toIntervalDay(1)
                OR is_late AND begun >= born + toIntervalDay(2) AND seen <= at_learned - toIntervalDay(1))
            AND NOT arrayExists(x -> x.1 != peer AND (scope = 'lan' AND x.5 = address OR x.2 = a_port
                AND (dateDiff('second', seen, x.3) BETWEEN -60 AND pause OR dateDiff('second', x.4, begun) BETWEEN -60 AND pause)), list)
            AND multiIf(
                side = 'server', lasting > 0,
                scope = 'lan', b_in > 0,
                n_peers = 1, b_out >= {min_bytes:UInt64} AND b_out > b_in,
                lasting > 0 AND NOT has(kept, net) AND singles <= {max_single:UInt64} AND n_peers <= {few:UInt64}
                    AND (n_flows >= {min_flows:UInt64} OR b_out >= {min_bytes:UInt64}) AND 20 * b_out > b_in)
    ),
    elsewhere AS
    (
        SELECT peer, groupArrayIf(2)(device, n >= 2) AS users -- one of two is another
        FROM (SELECT peer, device, uniqExact(day) AS n FROM edges WHERE peer IN (SELECT peer FROM single) AND role IN ('client', 'unknown') GROUP BY peer, device)
        GROUP BY peer
    )
SELECT
    device, side AS role, peer, other AS peer_device, address AS peer_addr, a_proto AS proto, a_port AS port,
    begun AS since, is_early ? at_third : at_learned AS until,
    1. AS strength,
    0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    format('what it does on other days: {} other peers of this kind, {} of them for days', toString(n_peers - 1), toString(lasting)) AS expected,
    format('while it was learned, within {} h only: <service> {} <peer>, {} out, {} in', toString(1 + dateDiff('hour', begun, seen)), side = 'server' ? 'for' : 'with',
        formatReadableSize(b_out), formatReadableSize(b_in)) AS observed
FROM single
LEFT JOIN elsewhere USING (peer)
WHERE scope = 'lan' OR NOT arrayExists(x -> x != device, users)
ORDER BY device, peer
