-- Which devices a filter selects, in order, and how many without the limit. Left
-- out are: a MAC that turned out to be a gateway's; addresses told to be routers'
-- own; what is known by address only and either has just answered once or twice
-- (what a scanner stirs up), or was later seen with a MAC of its own; what is seen
-- with a gateway's MAC although its neighbours in the /24 (/64) show MACs of their
-- own, so that no router lies between; and what has a router's address (the first
-- or last of a /24, or alone in a network behind a gateway) and a router's talk:
-- DNS, DHCP, NTP, SNMP, syslog, routing, ICMP, and if it offers that, pages of its
-- own to the site.
-- Tables, and columns, that only some filters and orders need are read for those
-- only. Of 100,000 devices few have aliases or no MAC: the others pass no join but
-- that of the order, and nothing is compared by more than one number.
WITH
    (SELECT max(mark) FROM (SELECT max(watermark) AS mark FROM score_cursors UNION ALL SELECT max(device_lives.last) FROM device_lives WHERE site = {site:String})) AS as_of,
    canon AS (SELECT device, target FROM device_aliases FINAL WHERE site = {site:String} AND target != device),
    gateways AS (SELECT DISTINCT mac FROM device_lives WHERE site = {site:String} AND identity = 'gateway' AND mac != 0),
    routers AS (SELECT DISTINCT device FROM identity_intervals WHERE site = {site:String} AND gateway = 1),
    assigned AS
    (
        SELECT device, argMax(identity_intervals.mac, written) AS told_mac
        FROM identity_intervals
        WHERE site = {site:String} AND gateway = 0 AND mac NOT IN (SELECT mac FROM gateways)
            AND device IN (SELECT device FROM device_lives WHERE site = {site:String} AND identity != 'mac')
        GROUP BY device
    ),
    (SELECT arraySort(groupArray((device, target))) FROM canon) AS pairs,
    arrayPushFront(pairs.1, toUInt64(0)) AS aliases, -- never empty: transform could not tell their type
    arrayPushFront(pairs.2, toUInt64(0)) AS targets,
    (SELECT count() > 0 FROM device_lives WHERE site = {site:String} AND identity != 'mac') AS any_bare,
    lives AS
    (
        SELECT device, identity, device_lives.mac AS mac, toUInt64(0) AS told_mac, device_lives.first AS first, device_lives.last AS last, device_lives.sent AS sent, device_lives.addresses AS had
        FROM device_lives
        WHERE site = {site:String} AND identity = 'mac'
        UNION ALL
        SELECT l.device, l.identity, l.mac, assigned.told_mac, l.first, l.last, l.sent, l.addresses
        FROM (SELECT device, identity, mac, device_lives.first AS first, device_lives.last AS last, device_lives.sent AS sent, device_lives.addresses AS addresses FROM device_lives WHERE site = {site:String} AND identity != 'mac') AS l
        LEFT JOIN assigned ON assigned.device = l.device
    ),
    known AS
    (
        SELECT
            transform(device, aliases, targets, device) AS id,
            argMaxIf(lives.mac, toUnixTimestamp64Milli(last) + (device = id ? toInt64(1e16) : 0), identity = 'mac' AND mac != 0 AND mac NOT IN (SELECT mac FROM gateways)) AS seen_mac,
            max(told_mac) AS assigned_mac,
            seen_mac != 0 ? seen_mac : assigned_mac AS own_mac,
            multiIf(seen_mac != 0, 'mac', assigned_mac != 0, 'assigned', argMax(identity, toUnixTimestamp64Milli(last)) = 'gateway', 'gateway', 'address') AS known_by,
            min(lives.first) AS born, max(lives.last) AS seen,
            arrayFilter(a -> a != toIPv6('::ffff:0.0.0.0') AND a != toIPv6('::'), groupArrayArray(16)({sort:String} = 'address' OR {bits:UInt8} != 0 OR {match:String} != '' ? had : CAST([], 'Array(IPv6)'))) AS addrs
        FROM lives
        GROUP BY id
        HAVING own_mac != 0 OR countIf(identity != 'mac') > 0 AND (max(sent) >= 5 OR seen >= born + toIntervalMinute(1))
    ),
    bare AS
    (
        SELECT id, max(device_lives.last) AS seen, argMax(identity, device_lives.last) AS shown, groupUniqArrayArray(16)(addresses) AS addrs
        FROM
        (
            SELECT canon.target = 0 ? l.device : canon.target AS id, l.identity AS identity, l.last AS last, l.addresses AS addresses
            FROM (SELECT device, identity, device_lives.last AS last, device_lives.addresses AS addresses FROM device_lives WHERE site = {site:String} AND identity != 'mac') AS l
            LEFT JOIN canon ON canon.device = l.device
        ) AS device_lives
        GROUP BY id
    ),
    stations AS
    (
        SELECT addr, max(device_lives.last) AS until
        FROM device_lives
        ARRAY JOIN addresses AS addr
        WHERE any_bare AND site = {site:String} AND identity = 'mac' AND mac != 0 AND mac NOT IN (SELECT mac FROM gateways)
            AND addr IN (SELECT arrayJoin(addresses) FROM device_lives WHERE site = {site:String} AND identity != 'mac')
        GROUP BY addr
    ),
    links AS
    (
        SELECT DISTINCT bitShiftRight(toUInt128(addr), bitShiftRight(toUInt128(addr), 32) = 65535 ? 8 : 64) AS link
        FROM device_lives
        ARRAY JOIN addresses AS addr
        WHERE any_bare AND site = {site:String} AND identity = 'mac' AND mac != 0 AND mac NOT IN (SELECT mac FROM gateways)
    ),
    hidden AS
    (
        SELECT bare.id AS id
        FROM (SELECT id, seen, shown, arrayJoin(addrs) AS addr FROM bare) AS bare
        LEFT JOIN stations ON stations.addr = bare.addr
        WHERE stations.until >= bare.seen
            OR shown = 'gateway' AND bitShiftRight(toUInt128(bare.addr), bitShiftRight(toUInt128(bare.addr), 32) = 65535 ? 8 : 64) IN (SELECT link FROM links)
    ),
    placed_like_routers AS
    (
        SELECT DISTINCT device
        FROM
        (
            SELECT
                device, bitShiftRight(toUInt128(addr), 32) = 65535 AS is4,
                bitShiftRight(toUInt128(addr), is4 ? 8 : 64) AS link, addr, identity,
                uniqExact(device) OVER (PARTITION BY link) AS neighbours
            FROM device_lives
            ARRAY JOIN addresses AS addr
            WHERE site = {site:String} AND identity != 'mac'
        )
        WHERE is4 AND bitAnd(toUInt128(addr), 255) IN (1, 254) OR NOT is4 AND bitAnd(toUInt128(addr), 18446744073709551615) = 1
            OR identity = 'gateway' AND neighbours = 1 AND link NOT IN (SELECT link FROM links)
    ),
    talking_like_routers AS
    (
        WITH
            proto IN (1, 2, 58, 89, 103, 112) OR scope = 'multicast' OR port IN (53, 67, 68, 123, 161, 162, 179, 514, 520, 521, 546, 547, 1985, 3784, 5351) AS plumbing,
            role = 'server' AND scope = 'lan' AND port IN (22, 23, 80, 443, 8080, 8443) AS managed
        SELECT device
        FROM edges
        WHERE device IN (SELECT device FROM placed_like_routers)
            AND (role != 'server' OR edges.bytes_out > 0) -- what was only tried on it is not its own
        GROUP BY device
        HAVING countIf(NOT plumbing AND NOT managed) = 0 AND (countIf(managed) = 0 OR countIf(plumbing AND role != 'client' AND scope = 'lan') > 0)
    ),
    matched AS
    (
        SELECT canon.target = 0 ? m.device : canon.target AS id
        FROM
        (
            SELECT device FROM labels FINAL WHERE {match:String} != '' AND site = {site:String} AND positionCaseInsensitiveUTF8(label, {match:String}) > 0
            UNION ALL
            SELECT device FROM device_facts FINAL WHERE {match:String} != '' AND site = {site:String} AND positionCaseInsensitiveUTF8(value, {match:String}) > 0
            UNION ALL
            SELECT device FROM identity_intervals WHERE {match:String} != '' AND site = {site:String} AND gateway = 0 AND positionCaseInsensitiveUTF8(name, {match:String}) > 0
            UNION ALL
            SELECT device FROM kinds FINAL WHERE {match:String} != '' AND site = {site:String} AND positionCaseInsensitive(toString(kinds.kind), {match:String}) > 0
            UNION ALL
            SELECT device FROM kind_decisions FINAL WHERE {match:String} != '' AND site = {site:String} AND positionCaseInsensitive(toString(kind_decisions.kind), {match:String}) > 0
        ) AS m
        LEFT JOIN canon ON canon.device = m.device
    ),
    decided AS (SELECT device, toString(kind_decisions.kind) AS word FROM kind_decisions FINAL WHERE site = {site:String} AND kind != ''),
    of_kind AS
    (
        SELECT device FROM decided WHERE word = {kind:String}
        UNION ALL
        SELECT device FROM kinds FINAL WHERE {kind:String} != '' AND site = {site:String} AND kind = {kind:String} AND device NOT IN (SELECT device FROM decided)
    ),
    alerts AS
    (
        SELECT canon.target = 0 ? i.device : canon.target AS id, max(risk) AS worst
        FROM (SELECT device, risk FROM incidents FINAL WHERE site = {site:String} AND state != 'closed') AS i
        LEFT JOIN canon ON canon.device = i.device
        GROUP BY id
    ),
    words AS
    (
        SELECT device, argMax(word, weight) AS word
        FROM
        (
            SELECT device, label AS word, 2 AS weight FROM labels FINAL WHERE {sort:String} = 'name' AND site = {site:String} AND label != ''
            UNION ALL
            SELECT device, name, 1 FROM identity_intervals WHERE {sort:String} = 'name' AND site = {site:String} AND gateway = 0 AND name != ''
            UNION ALL
            SELECT device, word, 2 FROM decided WHERE {sort:String} = 'kind'
            UNION ALL
            SELECT device, toString(kinds.kind), 1 FROM kinds FINAL WHERE {sort:String} = 'kind' AND site = {site:String}
            UNION ALL
            SELECT id, leftPad(toString(255 - worst), 3, '0'), 1 FROM alerts WHERE {sort:String} = 'risk'
        )
        GROUP BY device
    ),
    retired AS (SELECT device FROM device_facts FINAL WHERE site = {site:String} AND fact = 'retired' AND value != ''),
    approved AS (SELECT device FROM device_facts FINAL WHERE site = {site:String} AND fact = 'approved' AND value != '')
SELECT
    known.id AS id,
    multiIf(
        id IN (SELECT device FROM retired), 'retired',
        as_of >= seen + toIntervalSecond({silence:UInt64}), 'silent',
        as_of >= born + toIntervalSecond({learning:UInt64}), 'active',
        as_of >= born + toIntervalSecond(intDiv({learning:UInt64}, 7)), 'learning',
        'new') AS state,
    count() OVER () AS total
FROM known
LEFT JOIN words ON words.device = known.id
WHERE known.id NOT IN (SELECT device FROM routers)
    AND (own_mac != 0 OR known.id NOT IN (SELECT id FROM hidden) AND known.id NOT IN (SELECT device FROM talking_like_routers))
    AND ({state:String} = '' OR state = {state:String})
    AND ({kind:String} = '' OR known.id IN (SELECT device FROM of_kind))
    AND ({known_by:String} = '' OR known_by = {known_by:String})
    AND ({unapproved:UInt8} = 0 OR known.id NOT IN (SELECT device FROM approved) AND known.id NOT IN (SELECT device FROM retired))
    AND ({alerting:UInt8} = 0 OR known.id IN (SELECT id FROM alerts))
    AND ({bits:UInt8} = 0 OR arrayExists(a -> a >= {low:IPv6} AND a <= {high:IPv6}, addrs))
    AND ({match:String} = '' OR known.id IN (SELECT id FROM matched)
        OR own_mac != 0 AND positionCaseInsensitive(MACNumToString(own_mac), {match:String}) > 0
        OR arrayExists(a -> position(toString(a), lower({match:String})) > 0, addrs))
ORDER BY
    {sort:String} IN ('name', 'kind', 'risk') ? words.word = '' : 0,
    {sort:String} IN ('name', 'kind', 'risk') ? words.word : '',
    {sort:String} = 'last' ? -toUnixTimestamp64Milli(seen) : 0,
    {sort:String} = 'address' ? empty(addrs) : 0,
    {sort:String} = 'address' ? arrayMin(arrayMap(a -> toUInt128(a), addrs)) : toUInt128(0), -- IPv4 comes first: ::ffff:0:0/96 is low
    born, id
LIMIT {limit:UInt64}
