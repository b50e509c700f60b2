-- Addresses and the MAC that sent from them last, of the seven days before the
-- newest flow.
SELECT arrayJoin(addresses) AS address, argMax(mac, devices.last) AS sender, max(devices.last) AS seen, toUInt8(argMax(identity = 'gateway', devices.last)) AS gateway
FROM devices
WHERE site = {site:String} AND mac != 0 AND received >= (SELECT max(received) FROM device_lives WHERE site = {site:String}) - 8
GROUP BY address
HAVING seen > (SELECT max(device_lives.last) FROM device_lives WHERE site = {site:String}) - toIntervalDay(7)
    AND address NOT IN (toIPv6('::'), toIPv6('::ffff:0.0.0.0'))
ORDER BY address
