-- Ids with that id, MAC, address, label or host name. Of those with an address the
-- one that had it last.
SELECT device FROM device_lives WHERE site = {site:String} AND device = {id:UInt64} GROUP BY device
UNION DISTINCT
SELECT device FROM device_lives WHERE site = {site:String} AND {mac:UInt64} != 0 AND identity = 'mac' AND mac = {mac:UInt64} GROUP BY device
UNION DISTINCT
SELECT device FROM identity_intervals WHERE site = {site:String} AND gateway = 0 AND {mac:UInt64} != 0 AND mac = {mac:UInt64} GROUP BY device
UNION DISTINCT
SELECT device FROM labels FINAL WHERE site = {site:String} AND label = {label:String} AND label != ''
UNION DISTINCT
SELECT device FROM identity_intervals WHERE site = {site:String} AND gateway = 0 AND name = {label:String} AND name != '' GROUP BY device
UNION DISTINCT
SELECT argMax(device, device_lives.last)
FROM device_lives
WHERE site = {site:String} AND {address:IPv6} != toIPv6('::') AND has(addresses, {address:IPv6})
    AND device NOT IN (SELECT device FROM identity_intervals WHERE site = {site:String} AND gateway = 1)
HAVING count() > 0
