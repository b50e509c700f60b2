-- Who devices are: those with some ids, or all. Ids that are another device's are
-- joined with it. Learning is judged at the event time reached by the scorer, or by
-- the newest flow if nothing was scored yet. A gateway's MAC is no device; a
-- router's own address is told of, since alerts and peers may name it.
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
            min(device_lives.first) AS born, max(device_lives.last) AS seen,
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
            argMaxIf(lives.mac, (lives.device = id, lives.seen), identity = 'mac' AND lives.mac != 0 AND NOT is_gateway) AS seen_mac,
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
        HAVING own_mac != 0 OR countIf(identity != 'mac') > 0
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
    decided AS (SELECT device, kind_decisions.kind AS kind FROM kind_decisions FINAL WHERE site = {site:String} AND kind != '' AND (empty({ids:Array}) OR device IN (SELECT device FROM chosen))),
    judged AS (SELECT device, kinds.kind AS kind, toString(iot) AS iot FROM kinds FINAL WHERE site = {site:String} AND (empty({ids:Array}) OR device IN (SELECT device FROM chosen)))
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
    decided.kind != '' ? decided.kind : judged.kind AS kind, judged.iot AS iot
FROM known
LEFT JOIN alerts ON alerts.id = known.id
LEFT JOIN names ON names.id = known.id
LEFT JOIN facts ON facts.id = known.id
LEFT JOIN decided ON decided.device = known.id
LEFT JOIN judged ON judged.device = known.id
