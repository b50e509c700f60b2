-- scan: a device tries peers and ports it never tried, and few answer.
--
-- Threshold random walk (Jung et al., IEEE S&P 2004) over first contacts, a
-- contact being (peer, service): failures minus answers >= 9 in 5 minutes (the
-- likelihood ratio at 1e-5), 15 in an hour, 40 in a day; at least half failed.
-- A first contact failed if its SYN had no ACK, or if nothing came back and the
-- exporter reports both directions of this device. Of sampled flows only a SYN
-- without ACK counts. Echo requests (ICMP) to {pings_5m} hosts it never met within 5
-- minutes are a scan, whoever answers.
--
-- Minimum evidence: 9 first contacts; any state of learning.
-- Severity 0.80. ATT&CK T1046, T1595; ICS T0846, T0888.
WITH
    touched AS
    (
        SELECT device, min(contacts.first) AS begin
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
            AND role IN ('client', 'unknown') AND scope IN ('lan', 'wan') AND ({device:UInt64} = 0 OR device = {device:UInt64})
        GROUP BY device
        HAVING sum(syn) > 0 OR countIf(bytes_in = 0) >= 3 OR countIf(proto IN (1, 58)) >= 3
    ),
    pairs AS
    (
        SELECT
            device, peer, proto, port, min(edges.first) AS begun, any(edges.peer_device) AS other, any(edges.peer_addr) AS address,
            sum(samples) < sum(packets_out) + sum(packets_in) AS is_sampled,
            sum(bytes_in) AS answer, sum(syn) AS n_syn, sum(failed) AS n_failed
        FROM edges
        WHERE device IN (SELECT device FROM touched) AND role IN ('client', 'unknown') AND scope IN ('lan', 'wan')
        GROUP BY device, peer, proto, port
    ),
    both AS
    (
        SELECT device, min(edges.first) AS born, sum(bytes_in) > 0 AS two_way
        FROM edges
        WHERE device IN (SELECT device FROM touched) AND scope IN ('lan', 'wan')
        GROUP BY device
    ),
    tries AS
    (
        SELECT
            device, peer, other, address, proto, port, begun,
            is_sampled ? n_syn > 0 : (n_failed > 0 OR (answer = 0 AND two_way)) AS is_failed
        FROM pairs
        INNER JOIN both USING (device)
        INNER JOIN touched USING (device)
        WHERE begun >= begin - toIntervalDay(1)
    ),
    walks AS
    (
        SELECT
            *,
            sum(proto IN (1, 58) AND port = 0) OVER five AS pinged_5m,
            sum(is_failed) OVER five AS failed_5m, count() OVER five AS tried_5m,
            sum(is_failed) OVER hour AS failed_1h, count() OVER hour AS tried_1h,
            sum(is_failed) OVER whole AS failed_1d, count() OVER whole AS tried_1d
        FROM (SELECT *, toUnixTimestamp64Milli(begun) AS ms FROM tries)
        WINDOW
            five AS (PARTITION BY device ORDER BY ms RANGE BETWEEN 300000 PRECEDING AND CURRENT ROW),
            hour AS (PARTITION BY device ORDER BY ms RANGE BETWEEN 3600000 PRECEDING AND CURRENT ROW),
            whole AS (PARTITION BY device ORDER BY ms RANGE BETWEEN 86400000 PRECEDING AND CURRENT ROW)
    ),
    hits AS
    (
        SELECT
            *,
            multiIf(2 * failed_5m >= tried_5m + {net_5m:UInt64} OR pinged_5m >= {pings_5m:UInt64}, 300, 2 * failed_1h >= tried_1h + {net_1h:UInt64}, 3600, 86400) AS seconds,
            multiIf(seconds = 300, failed_5m, seconds = 3600, failed_1h, failed_1d) AS n_failed,
            multiIf(seconds = 300, tried_5m, seconds = 3600, tried_1h, tried_1d) AS n_tried
        FROM walks
        WHERE (pinged_5m >= {pings_5m:UInt64} OR 2 * failed_5m >= tried_5m + {net_5m:UInt64} OR 2 * failed_1h >= tried_1h + {net_1h:UInt64} OR 2 * failed_1d >= tried_1d + {net_1d:UInt64})
            AND begun >= (SELECT min(begin) FROM touched)
    ),
    worst AS
    (
        SELECT device, min(begun) AS since, max(begun) AS until, argMax(hits.seconds, hits.n_failed) AS seconds, max(hits.n_failed) AS n_failed, argMax(hits.n_tried, hits.n_failed) AS n_tried
        FROM hits
        GROUP BY device
    ),
    targets AS
    (
        SELECT device, uniqExact(peer) AS n_peers, uniqExact((proto, port)) AS n_ports, topK(1)((proto, port))[1] AS service, any(peer) AS a_peer, any(other) AS a_device, any(address) AS an_address, min(begun) AS begin_at
        FROM tries
        INNER JOIN worst USING (device)
        WHERE (is_failed OR proto IN (1, 58)) AND begun > worst.since - toIntervalSecond(worst.seconds) AND begun <= worst.until
        GROUP BY device
    )
SELECT
    device, 'client' AS role, n_peers = 1 ? a_peer : 0 AS peer, n_peers = 1 ? a_device : 0 AS peer_device, an_address AS peer_addr,
    toUInt8(service.1) AS proto, n_ports = 1 ? toUInt16(service.2) : toUInt16(0) AS port,
    begin_at AS since, until,
    1. AS strength,
    0.95 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    'first contacts that are mostly answered' AS expected,
    format('{} of {} first contacts within {} without an answer: {} at {}', toString(n_failed), toString(n_tried),
        multiIf(seconds = 300, '5 minutes', seconds = 3600, 'an hour', 'a day'),
        n_ports = 1 ? '<service>' : toString(n_ports) || ' ports', n_peers = 1 ? '<peer>' : toString(n_peers) || ' peers') AS observed
FROM worst
INNER JOIN targets USING (device)
ORDER BY device
