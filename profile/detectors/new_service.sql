-- new_service: a learned device uses, or offers, a service (protocol and port)
-- it never used or offered.
--
-- Strength = 1 for a sensitive port, else 1 - min(1, 20 * P_new) with P_new as in
-- new_destination, over the services of the same role; a quarter of it for a mere
-- download from outside (over 1 MB, 20 times what was sent).
--
-- Of a service that is offered each finding names the client that came last, from
-- when it came on: whom one alert told of is not everybody.
--
-- A port that was only knocked at is not offered: a RST or SYN-ACK has no payload
-- (at most 60 octets), and may be all that is seen of a connection.
--
-- Minimum evidence: device learned; one flow that did not fail, or 3 tries of a
-- client; role at least 60 % sure; strength 0.35. A service is new for one day.
-- Severity 0.40; 0.60 on a sensitive port. ATT&CK T1571; ICS T0885.
WITH
    touched AS
    (
        SELECT device, role, proto, port, min(contacts.first) AS since, groupUniqArray(256)((peer, peer_device, peer_addr)) AS others
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
            AND role IN ('client', 'server') AND scope IN ('lan', 'wan') AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND confidence >= 60 AND NOT proto IN (1, 2, 58)
        GROUP BY device, role, proto, port
    ),
    ages AS
    (
        SELECT device, min(devices.first) + toIntervalSecond({learning:UInt64}) AS learned
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched)
        GROUP BY device
    ),
    services AS
    (
        SELECT
            device, role, proto, port, min(edges.first) AS begun, max(edges.last) AS seen, groupUniqArray(day) AS days,
            max(scope = 'lan') AS inside, minMap(map(edges.peer, edges.first)) AS by_peer, length(by_peer) AS n_peers,
            sum(bytes_out) AS b_out, sum(bytes_in) AS b_in, sum(flows) AS n_flows, sum(failed) + sum(refused) AS n_failed
        FROM edges
        WHERE device IN (SELECT device FROM touched) AND role IN ('client', 'server') AND scope IN ('lan', 'wan')
            AND (role = 'client' OR proto != 6 OR bytes_out > 60 * packets_out OR packets_out > flows AND samples >= packets_out + packets_in)
        GROUP BY device, role, proto, port
    ),
    fresh AS
    (
        SELECT
            *, touched.since AS heard,
            proto IN (6, 17) AND port IN (21, 22, 23, 69, 135, 139, 445, 1080, 2323, 3333, 3389, 4444, 5555, 5900, 6667, 9050, 37215, 52869) AS sensitive
        FROM (SELECT *, count() OVER (PARTITION BY device, role) AS n_services FROM services) AS s
        INNER JOIN ages USING (device)
        INNER JOIN touched USING (device, role, proto, port)
        WHERE begun >= learned AND heard < begun + toIntervalDay(1)
            AND (n_flows > n_failed AND (role = 'client' OR b_out > 0) OR role = 'client' AND n_flows >= {min_tries:UInt64})
        ORDER BY sensitive DESC, begun DESC
        LIMIT 200 BY device, role -- who scans ports has thousands, and each is compared with all
    ),
    known AS -- of more than 400 about a hundred: they are held for each new service, and P_new is a share
    (
        SELECT device, role, groupArray((begun, days)) AS list
        FROM services AS v
        INNER JOIN (SELECT device, role, any(n_services) AS n FROM fresh GROUP BY device, role) AS d USING (device, role)
        WHERE n <= 400 OR cityHash64(proto, port) % n < 100
        GROUP BY device, role
    ),
    judged AS
    (
        SELECT
            fresh.device AS device, fresh.role AS role, fresh.proto AS proto, fresh.port AS port, fresh.begun AS begun, fresh.seen AS seen, fresh.sensitive AS sensitive, fresh.n_services AS n_services,
            arraySort(x -> by_peer[x.1], arrayFilter(x -> mapContains(by_peer, x.1), others)) AS users, users[role = 'client' ? 1 : -1] AS who, by_peer[who.1] AS came, fresh.n_peers AS n_peers,
            fresh.b_out AS b_out, fresh.b_in AS b_in,
            role = 'client' AND NOT inside AND b_in >= 1000000 AND b_in >= 20 * b_out AS download,
            arrayFilter(x -> x.1 < begun, list) AS before,
            arrayMap(x -> arrayCount(d -> d <= toDate(begun) AND d > toDate(begun) - 28, x.2), before) AS day_counts,
            (arrayCount(n -> n = 1, day_counts) + 0.5) / (arraySum(day_counts) + 1) AS p_new
        FROM fresh
        INNER JOIN known USING (device, role)
        WHERE notEmpty(users)
    )
SELECT
    device, toString(judged.role) AS role, who.1 AS peer, who.2 AS peer_device, who.3 AS peer_addr, proto, port,
    judged.role = 'client' ? begun : came AS since, least(seen, begun + toIntervalDay(1)) AS until,
    sensitive ? 1. : (1 - least(1, 20 * p_new)) * (download ? 0.25 : 1) AS strength,
    0.9 AS confidence,
    sensitive ? 0.6 : toFloat64({severity:Float64}) AS severity,
    format('one of the {} services it {} so far', toString(n_services > 400 ? n_services - 1 : length(before)), judged.role = 'client' ? 'used' : 'offered') AS expected,
    format('{} <service>{} with {}: {} out, {} in', judged.role = 'client' ? 'used' : 'offered', sensitive ? ', a sensitive port,' : '',
        n_peers = 1 ? '<peer>' : toString(n_peers) || ' peers', formatReadableSize(b_out), formatReadableSize(b_in)) AS observed
FROM judged
WHERE strength >= (download ? 0.25 : 1) * {min_strength:Float64}
ORDER BY device, role, proto, port
