-- Addresses and the MAC that sent from them last, of the seven days before the
-- newest flow, and since when in these days.
SELECT address, argMax(mac, until) AS sender, argMax(since, until) AS known, max(until) AS seen, argMax(is_gateway, until) AS gateway
FROM
(
    SELECT arrayJoin(addresses) AS address, mac, min(devices.first) AS since, max(devices.last) AS until, toUInt8(argMax(identity = 'gateway', devices.last)) AS is_gateway
    FROM devices
    WHERE site = {site:String} AND mac != 0 AND received >= (SELECT max(received) FROM device_lives WHERE site = {site:String}) - 8
    GROUP BY address, mac
)
GROUP BY address
HAVING seen > (SELECT max(device_lives.last) FROM device_lives WHERE site = {site:String}) - toIntervalDay(7)
    AND address NOT IN (toIPv6('::'), toIPv6('::ffff:0.0.0.0'))
ORDER BY address
