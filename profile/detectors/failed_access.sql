-- failed_access: attempts to reach a device, or by a device to reach few peers,
-- that were denied by a firewall, refused by RST or left without an answer to SYN.
--
-- k attempts in an hour against the device's own hours before: negative binomial
-- deviance with mean and variance of that history, a Gamma prior (0.5 in a day)
-- where it is empty; strength grows from p = 1e-4 to 1e-8.
--
-- Minimum evidence: device learned; k >= 10; p < 1e-6; at most 3 peers if the
-- device is the client (more is a scan); half of what was tried failed.
-- Severity 0.40 against the device, 0.45 by it. ATT&CK T1110, T1190; ICS T0812, T0819.
WITH
    touched AS
    (
        SELECT DISTINCT device, role, toStartOfHour(contacts.first) + toIntervalHour(arrayJoin(range(toUInt32(least(200, 1 + dateDiff('hour', contacts.first, contacts.last)))))) AS t
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
            AND role IN ('client', 'server') AND scope IN ('lan', 'wan') AND (failed > 0 OR refused > 0) AND ({device:UInt64} = 0 OR device = {device:UInt64})
    ),
    ages AS
    (
        SELECT device, min(devices.first) AS born
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched)
        GROUP BY device
    ),
    hours AS
    (
        SELECT device, role, t, max(k1) AS k, argMax(n1, k1) AS n
        FROM
        (
            SELECT device, role, v.t AS t, observer, greatest(sum(failed), sum(refused)) AS k1, sum(flows) AS n1
            FROM volumes_1h AS v
            WHERE (device, role) IN (SELECT device, role FROM touched) AND scope IN ('lan', 'wan')
            GROUP BY device, role, t, observer
        )
        GROUP BY device, role, t
    ),
    now AS
    (
        SELECT device, role, t, k, n, born
        FROM hours
        INNER JOIN ages USING (device)
        WHERE (device, role, t) IN (SELECT device, role, t FROM touched)
            AND k >= {min_failed:UInt64} AND 3 * k >= n AND t >= born + toIntervalSecond({learning:UInt64})
    ),
    judged AS
    (
        SELECT
            now.device AS device, now.role AS role, now.t AS t, any(now.k) AS k, any(now.born) AS born,
            greatest(1, dateDiff('hour', born, t)) AS span,
            sumIf(h.k, h.t < now.t) AS past, sumIf(h.k * h.k, h.t < now.t) AS squares, maxIf(h.k, h.t < now.t) AS worst,
            (past + 0.5) / (span + 24) AS mean,
            squares / span - pow(past / span, 2) AS variance,
            variance > 1.1 * mean ? mean * mean / (variance - mean) : 1e9 AS r,
            2 * (k * log(k / mean) - (k + r) * log((k + r) / (mean + r))) AS deviance,
            0.5 * erfc(sqrt(greatest(deviance, 0) / 2)) AS p,
            -log10(greatest(p, 1e-300)) AS l
        FROM now
        INNER JOIN hours AS h ON h.device = now.device AND h.role = now.role
        GROUP BY device, role, t
    ),
    who AS
    (
        SELECT
            device, role, toStartOfHour(c.first) + toIntervalHour(arrayJoin(range(toUInt32(least(200, 1 + dateDiff('hour', c.first, c.last)))))) AS t,
            uniqExact(c.peer) AS n_peers, argMax(c.peer, failed + refused) AS a_peer, argMax(peer_device, failed + refused) AS other, argMax(peer_addr, failed + refused) AS address,
            uniqExact(c.port) AS n_ports, argMax(c.proto, failed + refused) AS a_proto, argMax(c.port, failed + refused) AS a_port,
            min(c.first) AS since, max(c.last) AS until, min(c.confidence) AS sure
        FROM contacts AS c
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND (failed > 0 OR refused > 0) AND scope IN ('lan', 'wan')
            AND device IN (SELECT device FROM touched)
        GROUP BY device, role, t
    )
SELECT
    device, toString(role) AS role, n_peers = 1 ? a_peer : 0 AS peer, n_peers = 1 ? other : 0 AS peer_device, address AS peer_addr, a_proto AS proto, n_ports = 1 ? a_port : 0 AS port,
    since, until,
    0.3 + 0.7 * greatest(0, least(1, (l - 4) / 4)) AS strength,
    0.95 AS confidence,
    role = 'client' ? {severity:Float64} + 0.05 : {severity:Float64} AS severity,
    format('at most {} failed attempts an hour, {} a day', toString(worst), toString(round(24 * past / span, 1))) AS expected,
    format('{} failed attempts {} {} by {} within the hour', toString(k), role = 'client' ? 'to reach' : 'from',
        n_peers = 1 ? '<peer>' : toString(n_peers) || ' peers', n_ports = 1 ? '<service>' : toString(n_ports) || ' ports') AS observed
FROM judged
INNER JOIN who USING (device, role, t)
WHERE p < {max_p:Float64} AND (role = 'server' OR n_peers <= 3 AND n_ports <= 3)
ORDER BY device, role, t
