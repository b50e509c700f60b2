-- The catalogue. Learning is judged at the event time reached by the scorer, or
-- by the newest flow if nothing was scored yet. Left out are: a MAC that turned
-- out to be a gateway's; what is known by address only and either has just
-- answered once or twice (what a scanner stirs up), or was later seen with a MAC
-- of its own; and a gateway's own addresses: seen with a gateway's MAC although
-- their neighbours in the /24 (/64) show MACs of their own, so no router lies
-- between.
WITH
    (SELECT max(mark) FROM (SELECT max(watermark) AS mark FROM score_cursors UNION ALL SELECT max(last) FROM devices WHERE site = {site:String})) AS as_of,
    gateways AS (SELECT DISTINCT mac FROM devices WHERE site = {site:String} AND identity = 'gateway' AND mac != 0),
    known AS
    (
        SELECT
            device,
            argMax(identity, (devices.last, devices.flows)) AS kind,
            argMaxIf(mac, devices.flows, identity = 'mac' AND mac NOT IN (SELECT mac FROM gateways)) AS own_mac,
            groupUniqArrayArray(16)(arraySort(addresses)) AS all_addresses,
            min(devices.first) AS born, max(devices.last) AS seen, sum(devices.flows) AS n_flows
        FROM devices
        WHERE site = {site:String} AND (empty({ids:Array}) OR device IN {ids:Array})
        GROUP BY device
        HAVING if(kind = 'mac', own_mac != 0, n_flows >= 5 OR seen >= born + toIntervalMinute(1))
    ),
    stations AS
    (
        SELECT arrayJoin(addresses) AS addr, max(devices.last) AS until
        FROM devices
        WHERE site = {site:String} AND identity = 'mac' AND mac != 0 AND mac NOT IN (SELECT mac FROM gateways)
        GROUP BY addr
    ),
    links AS (SELECT DISTINCT IPv6CIDRToRange(addr, if(bitShiftRight(toUInt128(addr), 32) = 65535, 120, 64)).1 AS link FROM stations),
    hidden AS
    (
        SELECT device
        FROM (SELECT device, kind, seen, arrayJoin(all_addresses) AS addr FROM known WHERE kind != 'mac') AS bare
        LEFT JOIN stations ON stations.addr = bare.addr
        WHERE stations.until >= seen
            OR kind = 'gateway' AND IPv6CIDRToRange(bare.addr, if(bitShiftRight(toUInt128(bare.addr), 32) = 65535, 120, 64)).1 IN (SELECT link FROM links)
    ),
    uses AS
    (
        SELECT
            device,
            arraySlice(arrayReverseSort(groupArrayIf((peers, proto, port), role = 'server')), 1, 20) AS serves,
            arraySlice(arrayReverseSort(groupArrayIf((peers, proto, port), role != 'server')), 1, 20) AS uses
        FROM
        (
            SELECT device, role, proto, port, uniqExact(peer) AS peers
            FROM edges
            WHERE device IN (SELECT device FROM known) AND scope IN ('lan', 'wan')
            GROUP BY device, role, proto, port
            HAVING role != 'server' OR sum(bytes_out) > 0 AND sum(edges.flows) > sum(edges.failed) + sum(edges.refused)
        )
        GROUP BY device
    ),
    alerts AS
    (
        SELECT device, count() AS n, max(risk) AS worst
        FROM incidents FINAL
        WHERE site = {site:String} AND state != 'closed'
        GROUP BY device
    ),
    names AS (SELECT device, label FROM labels FINAL WHERE site = {site:String})
SELECT
    known.device, names.label, toString(known.kind), known.own_mac,
    -- an address of its own network first, IPv4 before IPv6
    arrayMap(a -> toString(a), arraySort(a -> (a = toIPv6('::') OR a = toIPv6('::ffff:0.0.0.0'), bitShiftRight(toUInt128(a), 32) != 65535, a), arrayFilter(a -> a != toIPv6('::ffff:0.0.0.0') AND a != toIPv6('::'), known.all_addresses))),
    known.born, known.seen, known.n_flows, as_of, alerts.n, alerts.worst,
    uses.serves.2, uses.serves.3, uses.serves.1, uses.uses.2, uses.uses.3, uses.uses.1
FROM known
LEFT JOIN uses ON uses.device = known.device
LEFT JOIN alerts ON alerts.device = known.device
LEFT JOIN names ON names.device = known.device
WHERE known.device NOT IN (SELECT device FROM hidden) OR known.device IN {ids:Array}
ORDER BY known.born, known.device
