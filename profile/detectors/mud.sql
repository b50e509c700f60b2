-- mud: a device deals with somebody, or by a service, that its MUD profile (RFC 8520)
-- does not permit. Profiles are attached to devices (tidemark devices mud) and kinds
-- (kinds.mud); a device's own goes first.
--
-- An edge is permitted if an entry of the file fits its role, protocol, port and
-- peer: anybody, the site's networks (local-networks), a network, a name that an
-- address of the peer's /24 (/48) had, a device whose MAC begins alike
-- (same-manufacturer). It is not judged, and nothing is told, where an entry fits
-- but for a peer that flows do not show: my-controller, other controllers, model,
-- manufacturer; a name where no DNS answer or TLS name of the address was seen.
-- ICMP, DHCP and multicast are not judged.
--
-- Minimum evidence: {min_flows} flows, or a session with bytes both ways; who began
-- is known to 70 %, as it is by the ports of a session whose halves came at once; what others only tried at the device is not its doing. Any age.
-- Severity 0.55; 0.75 outside the site or for log-in and control services.
-- Sampling delays it. ATT&CK T1071, T1021; ICS T0886.
WITH
    kept AS (SELECT device, target FROM device_aliases FINAL WHERE site = {site:String} AND target != device),
    attached AS (SELECT device, kind, profile, file FROM mud_profiles FINAL WHERE site = {site:String} AND profile != 0),
    known AS
    (
        SELECT device, argMax(word, weight) AS kind
        FROM
        (
            SELECT device, toString(kinds.kind) AS word, 0 AS weight FROM kinds FINAL WHERE site = {site:String}
            UNION ALL
            SELECT device, toString(kind_decisions.kind), 1 FROM kind_decisions FINAL WHERE site = {site:String} AND kind != ''
        )
        GROUP BY device
    ),
    described AS
    (
        SELECT device, profile, file FROM attached WHERE device != 0
        UNION ALL
        SELECT known.device AS device, of_kind.profile AS profile, of_kind.file AS file
        FROM known
        INNER JOIN (SELECT kind, profile, file FROM attached WHERE device = 0) AS of_kind USING (kind)
        WHERE known.device NOT IN (SELECT device FROM attached WHERE device != 0)
    ),
    macs AS (SELECT device, max(device_lives.mac) AS mac FROM device_lives WHERE site = {site:String} AND identity = 'mac' GROUP BY device),
    touched AS
    (
        SELECT
            device, role, peer, proto, port, min(since1) AS since, max(until1) AS until, any(scope1) AS scope, max(other1) AS other, max(address1) AS address,
            max(sure1) AS sure, max(b_out1) AS b_out, max(b_in1) AS b_in, max(n1) AS n, max(bad1) AS bad
        FROM
        (
            SELECT
                device, role, peer, proto, port, observer, min(contacts.first) AS since1, max(contacts.last) AS until1, any(contacts.scope) AS scope1,
                max(peer_device) AS other1, anyLast(peer_addr) AS address1, max(contacts.confidence) AS sure1,
                sum(bytes_out) AS b_out1, sum(bytes_in) AS b_in1, sum(flows) AS n1, sum(failed) + sum(refused) AS bad1
            FROM contacts
            WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
                AND scope IN ('lan', 'wan') AND role IN ('client', 'server') AND proto IN (6, 17) AND port NOT IN (67, 68, 546, 547)
            GROUP BY device, role, peer, proto, port, observer
        )
        GROUP BY device, role, peer, proto, port
        HAVING sure >= 70 AND (b_out > 0 AND b_in > 0 AND bad < n OR n >= {min_flows:UInt64} AND role = 'client')
    ),
    edges_now AS
    (
        SELECT
            touched.device AS device, touched.role AS role, touched.peer AS peer, touched.proto AS proto, touched.port AS port, touched.since AS since, touched.until AS until,
            touched.scope AS scope, touched.other AS other, touched.address AS address, touched.sure AS sure, touched.b_out AS b_out, touched.b_in AS b_in,
            described.profile AS profile, described.file AS file,
            toUInt128(address) AS number,
            multiIf(other != 0, 0, bitShiftRight(number, 32) = 65535, 8, 80) AS host_bits,
            bitShiftRight(number, host_bits) AS net,
            bitShiftLeft(net, host_bits) AS low,
            bitOr(low, bitShiftLeft(toUInt128(1), host_bits) - 1) AS high,
            bitShiftRight(own.mac, 24) AS own_maker, bitShiftRight(theirs.mac, 24) AS their_maker
        FROM touched
        LEFT JOIN kept ON kept.device = touched.device
        INNER JOIN described ON described.device = (kept.target = 0 ? touched.device : kept.target)
        LEFT JOIN macs AS own ON own.device = touched.device
        LEFT JOIN macs AS theirs ON theirs.device = touched.other
    ),
    rules AS
    (
        SELECT profile, groupArray((toString(role), proto, port_low, port_high, toString(peer), toUInt128(low), toUInt128(high), name)) AS list
        FROM mud_rules FINAL
        WHERE site = {site:String} AND profile IN (SELECT profile FROM attached)
        GROUP BY profile
    ),
    called AS
    (
        SELECT net, groupUniqArray(200)(name) AS near, groupUniqArray(1000)(addr) AS heard
        FROM
        (
            SELECT toUInt128(addr) AS number, bitShiftRight(number, bitShiftRight(number, 32) = 65535 ? 8 : 80) AS net, addr, lower(name) AS name
            FROM names
            WHERE site = {site:String} AND source IN ('dns', 'tls', 'http')
        )
        WHERE net IN (SELECT net FROM edges_now)
        GROUP BY net
    ),
    judged AS
    (
        SELECT
            *,
            arrayFilter(r -> (r.1 = 'any' OR r.1 = toString(role)) AND r.2 IN (0, proto) AND port >= r.3 AND port <= r.4, list) AS fits,
            arrayExists(r -> multiIf(
                r.5 = 'any', true,
                r.5 = 'local', scope = 'lan',
                r.5 = 'network', low <= r.7 AND high >= r.6,
                r.5 = 'name', arrayExists(n -> n = r.8 OR endsWith(n, concat('.', r.8)), near),
                r.5 = 'same manufacturer', own_maker != 0 AND own_maker = their_maker,
                false), fits) AS permitted,
            arrayExists(r -> r.5 = 'unknown' OR r.5 = 'name' AND NOT has(heard, address) OR r.5 = 'same manufacturer' AND scope = 'lan', fits) AS unsure
        FROM edges_now
        INNER JOIN rules USING (profile)
        LEFT JOIN called USING (net)
    )
SELECT
    device, toString(role) AS role, peer, other AS peer_device, address AS peer_addr, proto, port, since, until,
    1. AS strength,
    0.95 * sure / 100 AS confidence,
    scope = 'wan' OR port IN (21, 22, 23, 135, 139, 445, 502, 2323, 3389, 5555, 5900, 20000, 44818) ? toFloat64({wide_severity:Float64}) : toFloat64({severity:Float64}) AS severity,
    format('one of the {} rules of its MUD profile {}: {}', toString(length(list)), arrayElement(splitByChar('/', file), -1),
        empty(fits) ? 'none has this service' : 'this service, with others') AS expected,
    format('{} <service> {} <peer>: {} out, {} in', role = 'server' ? 'served' : 'used', role = 'server' ? 'to' : 'with', formatReadableSize(b_out), formatReadableSize(b_in)) AS observed
FROM judged
WHERE NOT permitted AND NOT unsure
ORDER BY device, role, peer, proto, port
