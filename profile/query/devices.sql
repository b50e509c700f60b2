-- The catalogue. Ids that are another device's are joined with it. Learning is
-- judged at the event time reached by the scorer, or by the newest flow if nothing
-- was scored yet. Left out are: a MAC that turned out to be a gateway's; addresses
-- told to be routers' own; what is known by address only and either has just
-- answered once or twice (what a scanner stirs up), or was later seen with a MAC of
-- its own; and what is seen with a gateway's MAC although its neighbours in the
-- /24 (/64) show MACs of their own, so that no router lies between.
WITH
    (SELECT max(mark) FROM (SELECT max(watermark) AS mark FROM score_cursors UNION ALL SELECT max(device_lives.last) FROM device_lives WHERE site = {site:String})) AS as_of,
    canon AS (SELECT device, target FROM device_aliases FINAL WHERE site = {site:String} AND target != device),
    chosen AS
    (
        SELECT arrayJoin(CAST({ids:Array}, 'Array(UInt64)')) AS device
        UNION ALL
        SELECT target FROM canon WHERE device IN {ids:Array}
        UNION ALL
        SELECT device FROM canon WHERE target IN {ids:Array} OR target IN (SELECT target FROM canon WHERE device IN {ids:Array})
    ),
    gateways AS (SELECT DISTINCT mac FROM device_lives WHERE site = {site:String} AND identity = 'gateway' AND mac != 0),
    routers AS (SELECT DISTINCT device FROM identity_intervals WHERE site = {site:String} AND gateway = 1),
    told AS
    (
        SELECT device, argMax(identity_intervals.mac, written) AS told_mac, argMaxIf(name, written, name != '') AS told_name
        FROM identity_intervals
        WHERE site = {site:String} AND gateway = 0 AND mac NOT IN (SELECT mac FROM gateways)
            AND (empty({ids:Array}) OR device IN (SELECT device FROM chosen))
        GROUP BY device
    ),
    lives AS
    (
        SELECT
            device, identity, device_lives.mac AS mac, mac IN (SELECT mac FROM gateways) AS is_gateway,
            min(device_lives.first) AS born, max(device_lives.last) AS seen, max(device_lives.sent) AS most,
            groupUniqArrayArray(16)(device_lives.addresses) AS had
        FROM device_lives
        WHERE site = {site:String} AND (empty({ids:Array}) OR device IN (SELECT device FROM chosen))
        GROUP BY device, identity, mac
    ),
    known AS
    (
        SELECT
            canon.target = 0 ? lives.device : canon.target AS id,
            groupUniqArray(lives.device) AS members,
            argMaxIf(lives.mac, (lives.device = id, lives.seen), identity = 'mac' AND NOT is_gateway) AS seen_mac,
            argMaxIf(told_mac, (lives.device = id, lives.seen), told_mac != 0) AS assigned_mac,
            seen_mac != 0 ? seen_mac : assigned_mac AS own_mac,
            multiIf(seen_mac != 0, 'mac', assigned_mac != 0, 'assigned', argMax(identity, lives.seen) = 'gateway', 'gateway', 'address') AS known_by,
            argMaxIf(told_name, lives.seen, told_name != '') AS host,
            arraySort(a -> (bitShiftRight(toUInt128(a), 32) != 65535, a), -- IPv4 first
                arrayFilter(a -> a != toIPv6('::ffff:0.0.0.0') AND a != toIPv6('::'), groupUniqArrayArray(16)(arraySort(had)))) AS addrs,
            min(lives.born) AS born, max(lives.seen) AS seen
        FROM lives
        LEFT JOIN canon ON canon.device = lives.device
        LEFT JOIN told ON told.device = lives.device
        GROUP BY id
        HAVING (own_mac != 0 OR countIf(identity != 'mac') > 0 AND (max(most) >= 5 OR seen >= born + toIntervalMinute(1)))
            AND id NOT IN (SELECT device FROM routers)
    ),
    stations AS
    (
        SELECT arrayJoin(addresses) AS addr, max(device_lives.last) AS until
        FROM device_lives
        WHERE site = {site:String} AND identity = 'mac' AND mac != 0 AND mac NOT IN (SELECT mac FROM gateways)
        GROUP BY addr
    ),
    links AS (SELECT DISTINCT IPv6CIDRToRange(addr, if(bitShiftRight(toUInt128(addr), 32) = 65535, 120, 64)).1 AS link FROM stations),
    hidden AS
    (
        SELECT id
        FROM (SELECT id, known_by, seen, arrayJoin(addrs) AS addr FROM known WHERE own_mac = 0) AS bare
        LEFT JOIN stations ON stations.addr = bare.addr
        WHERE stations.until >= seen
            OR known_by = 'gateway' AND IPv6CIDRToRange(bare.addr, if(bitShiftRight(toUInt128(bare.addr), 32) = 65535, 120, 64)).1 IN (SELECT link FROM links)
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
        SELECT canon.target = 0 ? f.device : canon.target AS id, groupArray((toString(f.fact), f.value)) AS pairs
        FROM (SELECT device, fact, value FROM device_facts FINAL WHERE site = {site:String} AND value != '' ORDER BY changed) AS f
        LEFT JOIN canon ON canon.device = f.device
        GROUP BY id
    ),
    decided AS (SELECT device, kind_decisions.kind AS kind FROM kind_decisions FINAL WHERE site = {site:String} AND kind != ''),
    judged AS (SELECT device, kinds.kind AS kind, toString(iot) AS iot FROM kinds FINAL WHERE site = {site:String})
SELECT
    known.id AS id, names.label AS label, known.host AS host, known.known_by AS known_by, known.own_mac AS own_mac,
    arrayMap(a -> toString(a), known.addrs) AS texts,
    known.born AS born, known.seen AS seen, as_of, alerts.n AS n_alerts, alerts.worst AS worst, known.members AS members,
    arrayMap(p -> p.1, facts.pairs) AS fact_names, arrayMap(p -> p.2, facts.pairs) AS fact_values,
    multiIf(
        has(fact_names, 'retired'), 'retired',
        as_of >= seen + toIntervalSecond({silence:UInt64}), 'silent',
        as_of >= born + toIntervalSecond({learning:UInt64}), 'active',
        as_of >= born + toIntervalSecond(intDiv({learning:UInt64}, 7)), 'learning',
        'new') AS state,
    decided.kind != '' ? decided.kind : judged.kind AS kind, judged.iot AS iot,
    count() OVER () AS total
FROM known
LEFT JOIN alerts ON alerts.id = known.id
LEFT JOIN names ON names.id = known.id
LEFT JOIN facts ON facts.id = known.id
LEFT JOIN decided ON decided.device = known.id
LEFT JOIN judged ON judged.device = known.id
WHERE (known.id NOT IN (SELECT id FROM hidden) OR notEmpty({ids:Array}))
    AND ({state:String} = '' OR state = {state:String})
    AND ({kind:String} = '' OR kind = {kind:String})
    AND ({known_by:String} = '' OR known_by = {known_by:String})
    AND ({unapproved:UInt8} = 0 OR NOT has(fact_names, 'approved') AND NOT has(fact_names, 'retired'))
    AND ({alerting:UInt8} = 0 OR n_alerts > 0)
    AND ({bits:UInt8} = 0 OR arrayExists(a -> a >= {low:IPv6} AND a <= {high:IPv6}, addrs))
    AND ({match:String} = '' OR positionCaseInsensitiveUTF8(concat(label, '\n', host, '\n', kind, '\n', own_mac = 0 ? '' : MACNumToString(own_mac), '\n',
        arrayStringConcat(arrayMap(a -> replaceOne(a, '::ffff:', ''), texts), '\n'), '\n', arrayStringConcat(fact_values, '\n')), {match:String}) > 0)
ORDER BY
    {sort:String} = 'last' ? -toUnixTimestamp64Milli(seen) : 0,
    {sort:String} = 'risk' ? -toInt64(worst) : 0,
    {sort:String} = 'name' ? (label != '' ? label : host) : '',
    {sort:String} = 'kind' ? kind : '',
    {sort:String} = 'address' ? (empty(addrs) ? toIPv6('ffff::') : addrs[1]) : toIPv6('::'),
    born, id
LIMIT {limit:UInt64}
