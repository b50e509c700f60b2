-- flood: a device sends packets to one peer faster than it ever did, and next to
-- nothing comes back: its part in a denial of service.
--
-- Packets per second over two minutes to the peer, at least 20 s of it
-- (so 200 packets in one second are no flood). Four ways to be one:
-- small packets (200 octets and less, as of SYN, ACK and UDP floods) at 200 a
-- second, larger ones at 2,000, since video is sent like that, and 10 times the
-- device's busiest hour, of what it sends inside if the peer is, else outside;
-- TCP that nobody answers (one packet in 200) at {silent_pps} a second on at most 16
-- ports, most of it SYN or none of it answered, if the exporter shows both
-- directions: no session sends on without an ACK; half of its packets SYN, or a third of
-- its flows nothing but SYN and of ten packets at most, answered or not, are as much,
-- if ten times what ever failed in an hour;
-- anything else that nobody answers at {silent_pps} a second, and twice the busiest
-- hour to a peer that is new within a day, 20 times to others;
-- questions of DNS at {silent_pps} a second and 100 times the busiest hour.
-- What a card that was a device's for a day sends from addresses outside is its own:
-- it forges them.
--
-- Minimum evidence: a day of history, six hours if nobody outside answers, or small
-- packets, or TCP; any state of learning. Sampled flows are scaled; 30 samples.
-- Severity 0.85. ATT&CK T1498, T1499; ICS T0814.
WITH
    touched AS
    (
        SELECT device, peer, min(contacts.first) AS begun
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
            AND scope IN ('lan', 'wan', 'transit') AND (packets_in * 10 <= packets_out OR 10 * syn >= packets_out OR port = 53 AND role != 'server') AND ({device:UInt64} = 0 OR device = {device:UInt64})
        GROUP BY device, peer
        HAVING sum(packets_out) >= 5 * {silent_pps:UInt64}
    ),
    rates AS
    (
        SELECT
            device, peer, observer, intDiv(toUnixTimestamp64Milli(c.first), 120000) AS slot, any(c.peer_device) AS other, any(c.peer_addr) AS address, argMax(c.proto, packets_out) AS a_proto, argMax(c.port, packets_out) AS a_port,
            uniqExact(c.proto, c.port) AS n_ports, min(c.first) AS since, max(c.last) AS until,
            sum(packets_out) AS p_out, sum(packets_in) AS p_in, sum(bytes_out) AS b_out, sum(samples) AS n_samples,
            p_out / greatest(20, dateDiff('millisecond', since, until) / 1000) AS pps, b_out / greatest(p_out, 1) AS size, a_proto = 6 AND p_in > 0 AND 2 * sum(syn) < sum(flows) AS is_session, 2 * sum(syn) >= p_out OR 3 * sum(syn) >= sum(flows) AND 10 * sum(syn) >= p_out AS half_open, a_port = 53 AND n_ports = 1 AS asks, max(c.scope = 'transit') AS forged, max(c.scope = 'lan') AS inside
        FROM contacts AS c
        INNER JOIN touched USING (device, peer)
        WHERE log = {log:UInt64} AND batch_index + 600 > {after:UInt64} AND batch_index <= {upto:UInt64} AND c.last > touched.begun - toIntervalMinute(2)
            AND c.last > (SELECT min(begun) FROM touched) - toIntervalMinute(2) -- so that older batches are not read
        GROUP BY device, peer, observer, slot
    ),
    loud AS
    (
        SELECT device, peer, argMax(tuple(rates.*), pps) AS r
        FROM
        (
            SELECT *, sum(p_in) OVER (PARTITION BY device, peer, slot) * 200 <= p_out AND n_ports <= 16 AND NOT is_session OR half_open AND n_ports <= 16 AS unanswered -- one half may be of another observer
            FROM rates
        ) AS rates
        WHERE (p_in * 10 <= p_out OR unanswered OR asks) AND pps >= multiIf(unanswered OR asks, {silent_pps:UInt64}, size <= 200, {min_pps:UInt64}, 10 * {min_pps:UInt64}) AND n_samples >= 30
        GROUP BY device, peer
    ),
    usual AS
    (
        SELECT device, maxIf(o_out, scope = 'lan') / 3600 AS most_inside, maxIf(o_out, scope = 'wan') / 3600 AS most_outside, max(o_failed) / 3600 AS most_failed, min(t) AS born
        FROM
        (
            SELECT device, scope, observer, v.t AS t, sum(packets_out) AS o_out, sum(failed) AS o_failed
            FROM volumes_1h AS v
            WHERE device IN (SELECT device FROM touched) AND scope IN ('lan', 'wan')
                AND v.t < (SELECT toStartOfHour(min(begun)) FROM touched)
            GROUP BY device, scope, observer, t
        )
        GROUP BY device
    ),
    pairs AS
    (
        SELECT device, peer, min(edges.first) AS met
        FROM edges
        WHERE (device, peer) IN (SELECT device, peer FROM touched)
        GROUP BY device, peer
    ),
    both AS
    (
        SELECT device, sum(bytes_in) > 0 AS two_way
        FROM edges
        WHERE device IN (SELECT device FROM touched) AND edges.scope IN ('lan', 'wan')
        GROUP BY device
    )
SELECT
    device, 'client' AS role, peer, r.5 AS peer_device, r.6 AS peer_addr, r.7 AS proto, r.9 = 1 ? r.8 : 0 AS port,
    r.10 AS since, r.11 AS until,
    is_fast ? 1. : 0.85 AS strength,
    r.15 < r.12 ? 0.85 : 0.95 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    most > 0 ? format('at most {} packets a second {}, in its busiest hour', toString(round(most, 1)), r.22 ? 'inside' : 'to the outside') : 'no such stream: it is new' AS expected,
    format('{} packets a second of {} octets to <peer>, {} back{}', toString(round(r.16)), toString(round(r.17)), toString(r.13), r.21 ? ', from source addresses that are not its own' : '') AS observed
FROM
(
    SELECT
        *, r.22 ? most_inside : most_outside AS most,
        usual.born > toDateTime(0) AND usual.born <= r.10 - toIntervalDay(1) AS has_history,
        r.16 >= 10 * most AND (r.17 <= 200 AND r.16 >= {min_pps:UInt64} OR has_history AND r.16 >= 10 * {min_pps:UInt64}) AS is_fast,
        r.23 AND r.7 = 6 AND two_way AND r.16 >= (r.19 ? 10 * most_failed : 2 * most) AS is_deaf,
        r.23 AND (has_history OR r.22 = 0 AND two_way AND usual.born > toDateTime(0) AND usual.born <= r.10 - toIntervalHour(6)) AND r.16 >= (met >= r.10 - toIntervalDay(1) ? 2 : 20) * most AS is_strange,
        r.20 AND has_history AND r.16 >= 100 * most AS is_curious
    FROM loud
    LEFT JOIN usual USING (device)
    LEFT JOIN pairs USING (device, peer)
    LEFT JOIN both USING (device)
)
WHERE is_fast OR is_deaf OR is_strange OR is_curious
ORDER BY device, peer
