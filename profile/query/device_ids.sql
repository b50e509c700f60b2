-- Which devices a filter selects, in order, and how many without the limit. Left
-- out are: a MAC that turned out to be a gateway's; addresses told to be routers'
-- own; what is known by address only and either has just answered once or twice
-- (what a scanner stirs up), or was later seen with a MAC of its own; what is seen
-- with a gateway's MAC although its neighbours in the /24 (/64) show MACs of their
-- own, so that no router lies between; and what has a router's address (the first
-- or last of a /24, or alone in a network behind a gateway) and a router's talk:
-- DNS, DHCP, NTP, SNMP, syslog, routing, ICMP, and if it offers that, pages of its
-- own to the site.
-- A template: planning the whole of it costs more than reading 100,000 devices, so
-- what the filter or the site (device_ids_need.sql) has no use for is left out.
{{- define "id"}}{{if .Aliases}}transform(device, aliases, targets, device){{else}}device{{end}}{{end}}
{{- define "bits"}}bitShiftRight(toUInt128(addr), bitShiftRight(toUInt128(addr), 32) = 65535 ? 8 : 64){{end}}
WITH
    {site:String} AS this_site,
{{- if .Aliases}}
    (SELECT arraySort(groupArray((device, target))) FROM device_aliases FINAL WHERE site = this_site AND target != device) AS pairs,
    arrayPushFront(pairs.1, toUInt64(0)) AS aliases, -- never empty: transform could not tell their type
    arrayPushFront(pairs.2, toUInt64(0)) AS targets,
{{- end}}
{{- if .Bare}}
    gateways AS (SELECT DISTINCT mac FROM device_lives WHERE site = this_site AND identity = 'gateway' AND mac != 0),
    stations AS -- addresses with a MAC of their own
    (
        SELECT addr, max(device_lives.last) AS until
        FROM device_lives
        ARRAY JOIN addresses AS addr
        WHERE site = this_site AND identity = 'mac' AND mac != 0 AND mac NOT IN (SELECT mac FROM gateways)
        GROUP BY addr
    ),
    links AS (SELECT DISTINCT {{template "bits"}} AS link FROM stations),
    placed_like_routers AS
    (
        SELECT DISTINCT device
        FROM
        (
            SELECT
                device, bitShiftRight(toUInt128(addr), 32) = 65535 AS is4, {{template "bits"}} AS link, addr, identity,
                uniqExact(device) OVER (PARTITION BY link) AS neighbours
            FROM device_lives
            ARRAY JOIN addresses AS addr
            WHERE site = this_site AND identity != 'mac'
        )
        WHERE is4 AND bitAnd(toUInt128(addr), 255) IN (1, 254) OR NOT is4 AND bitAnd(toUInt128(addr), 18446744073709551615) = 1
            OR identity = 'gateway' AND neighbours = 1 AND link NOT IN (SELECT link FROM links)
    ),
    hidden AS
    (
        SELECT bare.id AS id
        FROM
        (
            SELECT id, seen, shown, arrayJoin(addrs) AS addr
            FROM
            (
                SELECT {{template "id" .}} AS id, max(device_lives.last) AS seen, argMax(identity, device_lives.last) AS shown, groupUniqArrayArray(16)(addresses) AS addrs
                FROM device_lives
                WHERE site = this_site AND identity != 'mac'
                GROUP BY id
            )
        ) AS bare
        LEFT JOIN stations ON stations.addr = bare.addr
        WHERE stations.until >= bare.seen OR shown = 'gateway' AND {{template "bits"}} IN (SELECT link FROM links)
        UNION ALL
        SELECT device
        FROM
        (
            SELECT
                device, role,
                proto IN (1, 2, 58, 89, 103, 112) OR scope = 'multicast' OR port IN (53, 67, 68, 123, 161, 162, 179, 514, 520, 521, 546, 547, 1985, 3784, 5351) AS plumbing,
                role = 'server' AND scope = 'lan' AND port IN (22, 23, 80, 443, 8080, 8443) AS managed,
                plumbing AND role != 'client' AND scope = 'lan' AS serving
            FROM edges
            WHERE device IN (SELECT device FROM placed_like_routers)
                AND (role != 'server' OR edges.bytes_out > 0) -- what was only tried on it is not its own
        )
        GROUP BY device
        HAVING countIf(NOT plumbing AND NOT managed) = 0 AND (countIf(managed) = 0 OR countIf(serving) > 0)
    ),
{{- end}}
{{- if or .Kind (eq .Sort "kind")}}
    decided AS (SELECT device, toString(kind_decisions.kind) AS word FROM kind_decisions FINAL WHERE site = this_site AND kind != ''),
{{- end}}
{{- if or .Alerting (eq .Sort "risk")}}
    alerts AS (SELECT {{template "id" .}} AS id, max(risk) AS worst FROM incidents FINAL WHERE site = this_site AND state != 'closed' GROUP BY id),
{{- end}}
{{- if eq .Sort "name"}}
    words AS
    (
        SELECT device, argMax(word, weight) AS word
        FROM
        (
            SELECT device, label AS word, 2 AS weight FROM labels FINAL WHERE site = this_site AND label != ''
            UNION ALL
            SELECT device, name, 1 FROM identity_intervals WHERE site = this_site AND gateway = 0 AND name != ''
        )
        GROUP BY device
    ),
{{- else if eq .Sort "kind"}}
    words AS
    (
        SELECT device, argMax(word, weight) AS word
        FROM
        (
            SELECT device, word, 2 AS weight FROM decided
            UNION ALL
            SELECT device, toString(kinds.kind), 1 FROM kinds FINAL WHERE site = this_site
        )
        GROUP BY device
    ),
{{- else if eq .Sort "risk"}}
    words AS (SELECT id AS device, leftPad(toString(255 - worst), 3, '0') AS word FROM alerts),
{{- end}}
    known AS
    (
        SELECT
            {{template "id" .}} AS id,
{{- if .Bare}}
            argMaxIf(lives.mac, toUnixTimestamp64Milli(last) {{if .Aliases}}+ (device = id ? toInt64(1e16) : 0){{end}}, by_mac AND mac NOT IN (SELECT mac FROM gateways)) AS seen_mac,
            max(told_mac) AS assigned_mac,
            seen_mac != 0 ? seen_mac : assigned_mac AS own_mac,
            multiIf(seen_mac != 0, 'mac', assigned_mac != 0, 'assigned', argMax(by_gateway, last), 'gateway', 'address') AS known_by,
{{- else}}
            argMax(lives.mac, toUnixTimestamp64Milli(last) {{if .Aliases}}+ (device = id ? toInt64(1e16) : 0){{end}}) AS own_mac, 'mac' AS known_by,
{{- end}}
{{- if or .Network .Match}}
            arrayFilter(a -> a != toIPv6('::ffff:0.0.0.0') AND a != toIPv6('::'), groupUniqArrayArray(addresses)) AS addrs,
{{- end}}
{{- if eq .Sort "address"}}
            minIf(arrayMin(a -> a = toIPv6('::ffff:0.0.0.0') OR a = toIPv6('::') ? bitNot(toUInt128(0)) : toUInt128(a), addresses), notEmpty(addresses)) AS lowest,
{{- end}}
            min(lives.first) AS born, max(lives.last) AS seen
{{- if .Bare}}
        FROM
        (
            SELECT device, identity = 'mac' AS by_mac, identity = 'gateway' AS by_gateway, mac, toUInt64(0) AS told_mac, device_lives.first AS first, device_lives.last AS last, sent, addresses
            FROM device_lives
            WHERE site = this_site
            UNION ALL -- what is told of those without a MAC, with times that change nothing (not before 1970: compiled, max takes that for the future)
            SELECT device, 0, 0, 0, argMax(identity_intervals.mac, written), toDateTime64('2200-01-01 00:00:00', 3, 'UTC'), toDateTime64(0, 3, 'UTC'), 0, []
            FROM identity_intervals
            WHERE site = this_site AND gateway = 0 AND mac NOT IN (SELECT mac FROM gateways)
                AND device IN (SELECT device FROM device_lives WHERE site = this_site AND identity != 'mac')
            GROUP BY device
        ) AS lives
        GROUP BY id
        HAVING own_mac != 0 OR countIf(NOT by_mac) > 0 AND (max(sent) >= 5 OR seen >= born + toIntervalMinute(1))
{{- else}}
        FROM device_lives AS lives
        WHERE site = this_site
        GROUP BY id
        HAVING own_mac != 0
{{- end}}
    )
SELECT known.id AS id, count() OVER () AS total
FROM known
{{- if or (eq .Sort "name") (eq .Sort "kind") (eq .Sort "risk")}}
LEFT JOIN words ON words.device = known.id
{{- end}}
WHERE 1
{{- if .Routers}}
    AND known.id NOT IN (SELECT device FROM identity_intervals WHERE site = this_site AND gateway = 1)
{{- end}}
{{- if .Bare}}
    AND (own_mac != 0 OR known.id NOT IN (SELECT id FROM hidden))
{{- end}}
{{- if .State}}
    AND {state:String} = multiIf(
        known.id IN (SELECT device FROM device_facts FINAL WHERE site = this_site AND fact = 'retired' AND value != ''), 'retired',
        {as_of:DateTime} >= seen + toIntervalSecond({silence:UInt64}), 'silent',
        {as_of:DateTime} >= born + toIntervalSecond({learning:UInt64}), 'active',
        {as_of:DateTime} >= born + toIntervalSecond(intDiv({learning:UInt64}, 7)), 'learning',
        'new')
{{- end}}
{{- if .Kind}}
    AND (known.id IN (SELECT device FROM decided WHERE word = {kind:String})
        OR known.id IN (SELECT device FROM kinds FINAL WHERE site = this_site AND kind = {kind:String}) AND known.id NOT IN (SELECT device FROM decided))
{{- end}}
{{- if .KnownBy}}
    AND known_by = {known_by:String}
{{- end}}
{{- if .Unapproved}}
    AND known.id NOT IN (SELECT device FROM device_facts FINAL WHERE site = this_site AND fact IN ('approved', 'retired') AND value != '')
{{- end}}
{{- if .Alerting}}
    AND known.id IN (SELECT id FROM alerts)
{{- end}}
{{- if .Network}}
    AND arrayExists(a -> a >= {low:IPv6} AND a <= {high:IPv6}, addrs)
{{- end}}
{{- if .Match}}
    AND (positionCaseInsensitive(MACNumToString(own_mac), {match:String}) > 0 AND own_mac != 0
        OR arrayExists(a -> position(toString(a), lower({match:String})) > 0, addrs)
        OR known.id IN
        (
            SELECT {{template "id" .}}
            FROM
            (
                SELECT device FROM labels FINAL WHERE site = this_site AND positionCaseInsensitiveUTF8(label, {match:String}) > 0
                UNION ALL
                SELECT device FROM device_facts FINAL WHERE site = this_site AND positionCaseInsensitiveUTF8(value, {match:String}) > 0
                UNION ALL
                SELECT device FROM identity_intervals WHERE site = this_site AND gateway = 0 AND positionCaseInsensitiveUTF8(name, {match:String}) > 0
                UNION ALL
                SELECT device FROM kinds FINAL WHERE site = this_site AND positionCaseInsensitive(toString(kinds.kind), {match:String}) > 0
                UNION ALL
                SELECT device FROM kind_decisions FINAL WHERE site = this_site AND positionCaseInsensitive(toString(kind_decisions.kind), {match:String}) > 0
            )
        ))
{{- end}}
ORDER BY
{{- if or (eq .Sort "name") (eq .Sort "kind") (eq .Sort "risk")}}
    words.word = '', words.word,
{{- else if eq .Sort "last"}}
    seen DESC,
{{- else if eq .Sort "address"}}
    lowest = 0 ? bitNot(toUInt128(0)) : lowest, -- IPv4 comes first: ::ffff:0:0/96 is low
{{- end}}
    born, id
LIMIT {limit:UInt64}
