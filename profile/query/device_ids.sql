-- Which devices a filter selects, in order, and how many without the limit. Left
-- out are: a MAC that turned out to be a gateway's; addresses told to be routers'
-- own; what is known by address only and either has just answered once or twice
-- (what a scanner stirs up), or was later seen with a MAC of its own; and what is
-- seen with a gateway's MAC although its neighbours in the /24 (/64) show MACs of
-- their own, so that no router lies between.
-- Tables that only some filters need are read with {hosts}, {kinds} only.
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
    known AS
    (
        SELECT
            canon.target = 0 ? l.device : canon.target AS id,
            argMaxIf(l.mac, (l.device = id, l.seen), l.identity = 'mac' AND NOT is_gateway) AS seen_mac,
            max(assigned.told_mac) AS assigned_mac,
            seen_mac != 0 ? seen_mac : assigned_mac AS own_mac,
            multiIf(seen_mac != 0, 'mac', assigned_mac != 0, 'assigned', argMax(l.identity, l.seen) = 'gateway', 'gateway', 'address') AS known_by,
            min(l.born) AS born, max(l.seen) AS seen,
            arrayFilter(a -> a != toIPv6('::ffff:0.0.0.0') AND a != toIPv6('::'), groupUniqArrayArray(16)(l.had)) AS addrs
        FROM
        (
            SELECT
                device, identity, device_lives.mac AS mac, mac IN (SELECT mac FROM gateways) AS is_gateway,
                device_lives.first AS born, device_lives.last AS seen, device_lives.sent AS most, device_lives.addresses AS had
            FROM device_lives
            WHERE site = {site:String}
        ) AS l
        LEFT JOIN canon ON canon.device = l.device
        LEFT JOIN assigned ON assigned.device = l.device
        GROUP BY id
        HAVING own_mac != 0 OR countIf(l.identity != 'mac') > 0 AND (max(l.most) >= 5 OR seen >= born + toIntervalMinute(1))
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
        WHERE site = {site:String} AND identity = 'mac' AND mac != 0 AND mac NOT IN (SELECT mac FROM gateways)
            AND addr IN (SELECT arrayJoin(addresses) FROM device_lives WHERE site = {site:String} AND identity != 'mac')
        GROUP BY addr
    ),
    links AS
    (
        SELECT DISTINCT bitShiftRight(toUInt128(addr), bitShiftRight(toUInt128(addr), 32) = 65535 ? 8 : 64) AS link
        FROM device_lives
        ARRAY JOIN addresses AS addr
        WHERE site = {site:String} AND identity = 'mac' AND mac != 0 AND mac NOT IN (SELECT mac FROM gateways)
    ),
    hidden AS
    (
        SELECT bare.id AS id
        FROM (SELECT id, seen, shown, arrayJoin(addrs) AS addr FROM bare) AS bare
        LEFT JOIN stations ON stations.addr = bare.addr
        WHERE stations.until >= bare.seen
            OR shown = 'gateway' AND bitShiftRight(toUInt128(bare.addr), bitShiftRight(toUInt128(bare.addr), 32) = 65535 ? 8 : 64) IN (SELECT link FROM links)
    ),
    alerts AS
    (
        SELECT canon.target = 0 ? i.device : canon.target AS id, count() AS n, max(risk) AS worst
        FROM (SELECT device, risk FROM incidents FINAL WHERE site = {site:String} AND state != 'closed') AS i
        LEFT JOIN canon ON canon.device = i.device
        GROUP BY id
    ),
    names AS
    (
        SELECT canon.target = 0 ? l.device : canon.target AS id, argMax(l.label, (l.device = id, l.changed)) AS label
        FROM (SELECT device, label, changed FROM labels FINAL WHERE site = {site:String} AND label != '') AS l
        LEFT JOIN canon ON canon.device = l.device
        GROUP BY id
    ),
    facts AS
    (
        SELECT canon.target = 0 ? f.device : canon.target AS id, groupArray(toString(f.fact)) AS fact_names, groupArray(f.value) AS fact_values
        FROM (SELECT device, fact, value FROM device_facts FINAL WHERE site = {site:String} AND value != '') AS f
        LEFT JOIN canon ON canon.device = f.device
        GROUP BY id
    ),
    hosts AS
    (
        SELECT device, argMax(name, written) AS host
        FROM identity_intervals
        WHERE {hosts:UInt8} = 1 AND site = {site:String} AND gateway = 0 AND name != ''
        GROUP BY device
    ),
    judged AS (SELECT device, toString(kinds.kind) AS kind FROM kinds FINAL WHERE {kinds:UInt8} = 1 AND site = {site:String}),
    decided AS (SELECT device, toString(kind_decisions.kind) AS kind FROM kind_decisions FINAL WHERE {kinds:UInt8} = 1 AND site = {site:String} AND kind != '')
SELECT
    known.id AS id,
    multiIf(
        has(facts.fact_names, 'retired'), 'retired',
        as_of >= seen + toIntervalSecond({silence:UInt64}), 'silent',
        as_of >= born + toIntervalSecond({learning:UInt64}), 'active',
        as_of >= born + toIntervalSecond(intDiv({learning:UInt64}, 7)), 'learning',
        'new') AS state,
    count() OVER () AS total
FROM known
LEFT JOIN alerts ON alerts.id = known.id
LEFT JOIN names ON names.id = known.id
LEFT JOIN facts ON facts.id = known.id
LEFT JOIN hosts ON hosts.device = known.id
LEFT JOIN decided ON decided.device = known.id
LEFT JOIN judged ON judged.device = known.id
WHERE known.id NOT IN (SELECT device FROM routers)
    AND (own_mac != 0 OR known.id NOT IN (SELECT id FROM hidden))
    AND ({state:String} = '' OR state = {state:String})
    AND ({kind:String} = '' OR (decided.kind != '' ? decided.kind : judged.kind) = {kind:String})
    AND ({known_by:String} = '' OR known_by = {known_by:String})
    AND ({unapproved:UInt8} = 0 OR NOT has(facts.fact_names, 'approved') AND NOT has(facts.fact_names, 'retired'))
    AND ({alerting:UInt8} = 0 OR alerts.n > 0)
    AND ({bits:UInt8} = 0 OR arrayExists(a -> a >= {low:IPv6} AND a <= {high:IPv6}, addrs))
    AND ({match:String} = '' OR positionCaseInsensitiveUTF8(concat(names.label, '\n', hosts.host, '\n', decided.kind, '\n', judged.kind, '\n', own_mac = 0 ? '' : MACNumToString(own_mac), '\n',
        arrayStringConcat(arrayMap(a -> replaceOne(toString(a), '::ffff:', ''), addrs), '\n'), '\n', arrayStringConcat(facts.fact_values, '\n')), {match:String}) > 0)
ORDER BY
    {sort:String} = 'last' ? -toUnixTimestamp64Milli(seen) : 0,
    {sort:String} = 'risk' ? -toInt64(alerts.worst) : 0,
    {sort:String} = 'name' ? (names.label != '' ? names.label : hosts.host) : '',
    {sort:String} = 'kind' ? (decided.kind != '' ? decided.kind : judged.kind) : '',
    {sort:String} = 'address' ? arrayMin(arrayMap(a -> (bitShiftRight(toUInt128(a), 32) != 65535, a), arrayConcat(addrs, [toIPv6('ffff::')]))) : (toUInt8(0), toIPv6('::')),
    born, id
LIMIT {limit:UInt64}
