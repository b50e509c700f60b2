-- Devices with that id, MAC, address or label. Of those with an address the ones
-- that had it last.
SELECT device FROM devices WHERE site = {site:String} AND device = {id:UInt64} GROUP BY device
UNION DISTINCT
SELECT device FROM devices WHERE site = {site:String} AND {mac:UInt64} != 0 AND identity = 'mac' AND mac = {mac:UInt64} GROUP BY device
UNION DISTINCT
SELECT device FROM labels FINAL WHERE site = {site:String} AND label = {label:String} AND label != ''
UNION DISTINCT
SELECT argMax(device, devices.last)
FROM devices
WHERE site = {site:String} AND {address:IPv6} != toIPv6('::') AND has(addresses, {address:IPv6})
HAVING count() > 0
