-- beacon: a device calls a peer outside that is new to it at a steady beat, as
-- software waiting for orders does.
--
-- Beginnings of its flows to the peer over the last day. With the median D of the
-- intervals and the median M of their distance from it, the beat is 1 - M / (0.5 D);
-- or, of intervals that are many times one beat or drawn from a range, their
-- skewness: 1 - |Q1 + Q3 - 2 D| / (Q3 - Q1) while Q3 < 1.5 Q1 (after RITA). What begins
-- within 2 s of another is one call. A long connection that the exporter's timeout cuts
-- into records has a beat too; with a peer that is new it tells as much.
--
-- Beats are the life of things, so novelty decides: the peer is new to the device
-- within {new_days} days, in no /12 (/32) of its cloud, known to at most a quarter
-- of the devices, and met by none of them a learning period ago; and nobody whom the
-- device called by this service a quarter as often is called no more, unless somebody
-- known of the same /12 took over then: else its cloud moved.
--
-- Minimum evidence: device learned; {min_calls} intervals of {min_seconds} s or more, all
-- of them within a day. Not on sampled flows: beats are lost between the samples.
-- NTP and DNS are left out.
-- Severity 0.65. ATT&CK T1071, T1573; ICS T0869, T0884.
WITH
    touched AS
    (
        SELECT device, peer, max(contacts.last) AS upto
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND scope = 'wan' AND role IN ('client', 'unknown') AND NOT (proto = 17 AND port IN (53, 123)) AND notEmpty(starts)
        GROUP BY device, peer
    ),
    ages AS
    (
        SELECT device, min(devices.first) + toIntervalSecond({learning:UInt64}) AS learned
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched)
        GROUP BY device
    ),
    known AS
    (
        SELECT
            device, peer, min(edges.first) AS begun, max(edges.last) AS seen, any(edges.peer_addr) AS address, uniqExact(day) AS n_days, sum(flows) / n_days AS pace,
            groupUniqArray(16)((edges.proto, edges.port)) AS ports, bitShiftRight(toUInt128(address), bitShiftRight(toUInt128(address), 32) = 65535 ? 20 : 96) AS net,
            sum(samples) < sum(packets_out) + sum(packets_in) AS is_sampled, sum(flows) AS n_flows
        FROM edges
        WHERE device IN (SELECT device FROM touched) AND edges.scope = 'wan' AND edges.role IN ('client', 'unknown')
        GROUP BY device, peer
    ),
    fresh AS
    (
        SELECT known.device AS device, known.peer AS peer, known.begun AS begun, known.address AS address, known.net AS net, known.ports AS ports, touched.upto AS upto
        FROM known
        INNER JOIN touched USING (device, peer)
        INNER JOIN ages USING (device)
        WHERE known.begun >= learned AND known.begun > touched.upto - toIntervalDay({new_days:UInt64}) AND NOT is_sampled AND n_flows > {min_calls:UInt64}
        LIMIT 100 BY device -- who scans has thousands
    ),
    strange AS
    (
        SELECT fresh.device AS device, fresh.peer AS peer, any(fresh.begun) AS begun, any(fresh.address) AS address, any(fresh.upto) AS upto,
            groupArrayIf(1000)((k.begun, k.seen, k.n_days, k.pace, k.net), k.begun < fresh.begun AND hasAny(k.ports, fresh.ports)) AS others,
            arrayFilter(x -> x.2 <= begun + toIntervalMinute(10), others) AS gone,
            arrayMax(arrayPushBack(arrayMap(x -> x.4, arrayFilter(x -> x.2 > begun - toIntervalHour(6)
                OR x.3 >= 3 AND NOT arrayExists(y -> y.5 = x.5 AND y.1 > x.2 - toIntervalMinute(10) AND y.2 > begun + toIntervalMinute(10), others), gone)), 0)) AS moved
        FROM fresh
        INNER JOIN known AS k ON k.device = fresh.device
        GROUP BY device, peer
        HAVING countIf(k.begun < fresh.begun AND k.net = fresh.net) = 0
    ),
    spread AS
    (
        SELECT peer, uniqExact(device) AS users, min(edges.first) AS met, (SELECT uniqExact(device) FROM devices WHERE site = {site:String}) AS everybody
        FROM edges
        WHERE peer IN (SELECT peer FROM strange) AND edges.scope = 'wan' AND edges.role IN ('client', 'unknown')
        GROUP BY peer
    ),
    calls AS
    (
        SELECT
            device, peer, any(strange.begun) AS begun, any(strange.address) AS address, any(strange.moved) AS moved, argMax(c.proto, c.flows) AS a_proto, argMax(c.port, c.flows) AS a_port,
            arraySort(arrayDistinct(groupArrayArray(4096)(starts))) AS every,
            arrayFilter((x, i) -> i = 1 OR x - every[i - 1] >= 2, every, arrayEnumerate(every)) AS list,
            arrayPopFront(arrayDifference(list)) AS gaps
        FROM contacts AS c
        INNER JOIN strange USING (device, peer)
        WHERE log = {log:UInt64} AND batch_index <= {upto:UInt64} AND received >= (SELECT max(received) FROM contacts WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}) - 1
            AND (device, peer) IN (SELECT device, peer FROM strange)
            AND c.last > strange.upto - toIntervalDay(1) AND c.scope = 'wan' AND c.role IN ('client', 'unknown') AND notEmpty(starts)
        GROUP BY device, peer
        HAVING length(gaps) >= {min_calls:UInt64}
    ),
    beats AS
    (
        SELECT
            *,
            arraySort(arrayMap(g -> toFloat64(g), gaps)) AS sorted,
            sorted[toUInt32(ceil(length(sorted) / 4))] AS q1, sorted[toUInt32(ceil(length(sorted) / 2))] AS d, sorted[toUInt32(ceil(3 * length(sorted) / 4))] AS q3,
            arrayReduce('medianExact', arrayMap(g -> abs(g - d), sorted)) AS m,
            greatest(0, 1 - m / (0.5 * greatest(d, 1))) AS steady,
            q3 < 1.5 * q1 ? 1 - abs(q1 + q3 - 2 * d) / greatest(q3 - q1, 1) : 0 AS even,
            greatest(steady, even) AS beat
        FROM calls
    )
SELECT
    device, 'client' AS role, peer, toUInt64(0) AS peer_device, address AS peer_addr, a_proto AS proto, a_port AS port,
    toDateTime64(toDateTime(list[1], 'UTC'), 3, 'UTC') AS since, toDateTime64(toDateTime(list[-1], 'UTC'), 3, 'UTC') AS until,
    toFloat64(least(1, 0.3 + 0.8 * beat)) AS strength,
    0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    'no beat towards a peer that is new to it' AS expected,
    format('calls <peer> by <service> every {} s (half of the times within {} s of it), {} times', toString(round(d)), toString(round(m)), toString(length(list))) AS observed
FROM beats
INNER JOIN spread USING (peer)
WHERE d >= {min_seconds:UInt64} AND beat >= {min_beat:Float64} AND users <= greatest(2, intDiv(everybody, 4)) AND met > begun - toIntervalSecond({learning:UInt64})
    AND 4 * moved < 86400 / d
ORDER BY device, peer
