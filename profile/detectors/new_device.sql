-- new_device: a device that nobody has approved is at the site for the first time.
--
-- It speaks once of each identity: ids that are one device are one, so neither a
-- new address nor a MAC seen after the address makes a device new. A random
-- (locally administered) MAC and a device known by its address only must have been
-- there for {settle_hours} hours: a phone that makes up a MAC each night has
-- another one by then.
--
-- Minimum evidence: {min_flows} flows; the site watched for {site_hours} hours before.
-- Silent: approved and retired devices, those of an inventory, and routers: told to
-- be one; or known by an address only that is the first or last of a /24, or alone
-- in its network behind a gateway, with a router's talk (DNS, DHCP, NTP, SNMP,
-- syslog, routing, ICMP; pages of its own to the site).
-- Severity 0.45; 0.35, which is listed and not told, until the site has been watched
-- for a learning period: what wakes once a week is not known before. ATT&CK T1200.
WITH
    canon AS (SELECT device, target FROM device_aliases FINAL WHERE site = {site:String} AND target != device),
    touched AS
    (
        SELECT id, min(begun) AS since, max(seen) AS reached
        FROM
        (
            SELECT canon.target = 0 ? c.device : canon.target AS id, c.begun AS begun, c.seen AS seen
            FROM
            (
                SELECT device, min(contacts.first) AS begun, max(contacts.last) AS seen
                FROM contacts
                WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
                GROUP BY device
            ) AS c
            LEFT JOIN canon ON canon.device = c.device
        )
        GROUP BY id
    ),
    members AS (SELECT device, target FROM canon WHERE target IN (SELECT id FROM touched) UNION ALL SELECT id, id FROM touched),
    site_begun AS (SELECT min(device_lives.first) AS begun FROM device_lives WHERE site = {site:String}),
    gateways AS (SELECT DISTINCT mac FROM device_lives WHERE site = {site:String} AND identity = 'gateway' AND mac != 0),
    known AS
    (
        SELECT
            members.target AS id, min(l.born) AS born, max(l.seen) AS seen, sum(l.most) AS sent,
            maxIf(l.mac, l.identity = 'mac' AND l.mac NOT IN (SELECT mac FROM gateways)) AS shown_mac,
            max(told.a_mac) AS told_mac, shown_mac != 0 ? shown_mac : told_mac AS own_mac, max(told.listed) AS listed
        FROM
        (
            SELECT device, identity, device_lives.mac AS mac, min(device_lives.first) AS born, max(device_lives.last) AS seen, max(device_lives.sent) AS most
            FROM device_lives
            WHERE site = {site:String} AND device IN (SELECT device FROM members)
            GROUP BY device, identity, mac
        ) AS l
        INNER JOIN members ON members.device = l.device
        LEFT JOIN
        (
            SELECT device, max(identity_intervals.mac) AS a_mac, max(source = 'inventory') AS listed
            FROM identity_intervals
            WHERE site = {site:String} AND gateway = 0 AND mac NOT IN (SELECT mac FROM gateways)
            GROUP BY device
        ) AS told ON told.device = l.device
        GROUP BY id
        HAVING (own_mac != 0 OR countIf(l.identity != 'mac') > 0)
    ),
    judged AS
    (
        SELECT
            known.id AS id, known.born AS born, known.own_mac AS own_mac, touched.reached AS reached, site_begun.begun AS begun,
            own_mac != 0 AND NOT bitTest(own_mac, 41) AS settled,
            born + toIntervalHour(settled ? 0 : {settle_hours:UInt64}) AS speaks
        FROM known
        INNER JOIN touched ON touched.id = known.id
        CROSS JOIN site_begun
        WHERE NOT known.listed AND born >= begun + toIntervalHour({site_hours:UInt64}) AND known.sent >= {min_flows:UInt64}
            AND known.id NOT IN (SELECT device FROM device_facts FINAL WHERE site = {site:String} AND fact IN ('approved', 'retired') AND value != '')
            AND known.id NOT IN (SELECT device FROM identity_intervals WHERE site = {site:String} AND gateway = 1)
            AND reached >= speaks AND touched.since < speaks + toIntervalDay(1)
    ),
    own_addresses AS
    (
        SELECT
            members.target AS id, l.identity AS identity, arrayJoin(l.addresses) AS addr,
            bitShiftRight(toUInt128(addr), 32) = 65535 AS is4, bitShiftRight(toUInt128(addr), is4 ? 8 : 64) AS link
        FROM (SELECT device, identity, device_lives.addresses AS addresses FROM device_lives WHERE site = {site:String} AND identity != 'mac' AND device IN (SELECT device FROM members)) AS l
        INNER JOIN members ON members.device = l.device
        WHERE members.target IN (SELECT id FROM judged WHERE own_mac = 0)
    ),
    alone AS
    (
        SELECT bitShiftRight(toUInt128(addr), bitShiftRight(toUInt128(addr), 32) = 65535 ? 8 : 64) AS link
        FROM device_lives
        ARRAY JOIN addresses AS addr
        WHERE site = {site:String} AND NOT (identity = 'mac' AND mac IN (SELECT mac FROM gateways)) AND link IN (SELECT link FROM own_addresses WHERE identity = 'gateway')
        GROUP BY link
        HAVING uniqExact(device) = 1
    ),
    routers AS
    (
        WITH
            proto IN (1, 2, 58, 89, 103, 112) OR scope = 'multicast' OR port IN (53, 67, 68, 123, 161, 162, 179, 514, 520, 521, 546, 547, 1985, 3784, 5351) AS plumbing,
            role = 'server' AND scope = 'lan' AND port IN (22, 23, 80, 443, 8080, 8443) AS managed
        SELECT members.target AS id
        FROM (SELECT device, role, scope, proto, port FROM edges WHERE device IN (SELECT device FROM members) AND (role != 'server' OR edges.bytes_out > 0)) AS e
        INNER JOIN members ON members.device = e.device
        WHERE members.target IN
        (
            SELECT own_addresses.id
            FROM own_addresses
            WHERE is4 AND bitAnd(toUInt128(addr), 255) IN (1, 254) OR NOT is4 AND bitAnd(toUInt128(addr), 18446744073709551615) = 1
                OR identity = 'gateway' AND link IN (SELECT link FROM alone)
        )
        GROUP BY members.target
        HAVING countIf(NOT plumbing AND NOT managed) = 0 AND (countIf(managed) = 0 OR countIf(plumbing AND role != 'client' AND scope = 'lan') > 0)
    )
SELECT
    id AS device, 'unknown' AS role, toUInt64(0) AS peer, toUInt64(0) AS peer_device, toIPv6('::') AS peer_addr, toUInt8(0) AS proto, toUInt16(0) AS port,
    born AS since, reached AS until,
    1. AS strength,
    own_mac != 0 ? (settled ? 0.9 : 0.6) : 0.4 AS confidence,
    born < begun + toIntervalSecond({learning:UInt64}) ? least(0.35, {severity:Float64}) : toFloat64({severity:Float64}) AS severity,
    format('no device that nobody approved; this one was not here in {} days', toString(dateDiff('day', begun, born))) AS expected,
    format('first seen {} UTC, known by {}', formatDateTime(born, '%Y-%m-%d %H:%i'),
        multiIf(settled, 'its MAC', own_mac != 0, 'a MAC it made up', 'its address only')) AS observed
FROM judged
WHERE id NOT IN (SELECT id FROM routers)
ORDER BY device
