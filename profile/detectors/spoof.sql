-- spoof: two network cards use one address in turn.
--
-- Who had the address when is known from the flows (identity_intervals). The
-- address went from one card to another and back within {back_minutes}, which no
-- lease does: both are there. The device with the older claim is the one that is
-- imitated. Routers and the addresses of VRRP and HSRP are left out, as are cards
-- that an operator joined into one device.
--
-- Minimum evidence: the address held for an hour before; the exporter reports MAC
-- addresses; any state of learning. Sampling only delays.
-- Severity 0.60. ATT&CK T1557.002, T1036; ICS T0830, T0856.
WITH
    (
        SELECT (min(contacts.first), max(contacts.last)) FROM contacts WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
    ) AS span,
    routers AS (SELECT DISTINCT mac FROM device_lives WHERE site = {site:String} AND identity = 'gateway'),
    claims AS
    (
        SELECT addr, vrf, arraySort(x -> (x.1, x.2), groupUniqArray(1024)((begun, until, device, mac))) AS every, arrayFilter((x, i) -> i = 1 OR x.4 != every[i - 1].4, every, arrayEnumerate(every)) AS list
        FROM
        (
            SELECT addr, vrf, begun, max(i.ended) AS until, device, mac
            FROM identity_intervals AS i
            WHERE site = {site:String} AND source = 'flow' AND gateway = 0 AND device != 0 AND mac NOT IN (SELECT mac FROM routers)
                AND bitShiftRight(mac, 8) NOT IN (0x00005e0001, 0x00005e0002, 0x00000c07ac)
                AND i.ended >= span.1 - toIntervalDay(1) AND begun <= span.2
            GROUP BY addr, vrf, begun, device, mac
        )
        GROUP BY addr, vrf
        HAVING uniqExact(mac) > 1
    ),
    turns AS
    (
        SELECT addr, list, arrayJoin(range(2, toUInt32(length(list)))) AS i, list[i - 1] AS a, list[i] AS b, list[i + 1] AS c
        FROM claims
        WHERE length(list) >= 3
    ),
    returns AS
    (
        SELECT
            addr, b.1 AS taken, c.1 AS back, arrayFirst(x -> x.3 IN (a.3, b.3), list) AS first_claim, first_claim.3 AS victim, a.3 = victim ? b.3 : a.3 AS impostor
        FROM turns
        WHERE a.4 = c.4 AND a.4 != b.4 AND dateDiff('second', b.1, c.1) <= 60 * {back_minutes:UInt64}
    ),
    judged AS
    (
        SELECT addr, victim, impostor, min(taken) AS since, max(back) AS until, uniqExact(taken) AS times, min(first_claim.1) AS begun
        FROM returns
        GROUP BY addr, victim, impostor
    ),
    cards AS (SELECT device, max(device_lives.mac) AS mac FROM device_lives WHERE site = {site:String} GROUP BY device)
SELECT
    victim AS device, 'unknown' AS role, impostor AS peer, impostor AS peer_device, addr AS peer_addr, toUInt8(0) AS proto, toUInt16(0) AS port,
    since, until,
    1. AS strength,
    times >= 2 ? 0.95 : 0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    'one network card at this address' AS expected,
    format('{} is used by another card, {}, too: it changed hands {} times, each time back within {} minutes', replaceOne(IPv6NumToString(addr), '::ffff:', ''),
        lower(MACNumToString(cards.mac)), toString(times), toString({back_minutes:UInt64})) AS observed
FROM judged
LEFT JOIN cards ON cards.device = judged.impostor
WHERE since >= begun + toIntervalHour(1) AND until >= span.1 - toIntervalMinute(30) AND ({device:UInt64} = 0 OR victim = {device:UInt64})
    AND (victim, impostor) NOT IN (SELECT device, target FROM device_aliases FINAL WHERE site = {site:String})
    AND (impostor, victim) NOT IN (SELECT device, target FROM device_aliases FINAL WHERE site = {site:String})
ORDER BY device, peer
