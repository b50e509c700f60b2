-- Under which identities some ids were seen, or all ids.
SELECT
    device, toString(identity), device_lives.mac AS mac,
    mac != 0 AND mac IN (SELECT mac FROM device_lives WHERE site = {site:String} AND identity = 'gateway') AS is_gateway,
    min(device_lives.first), max(device_lives.last) AS seen,
    arrayMap(a -> toString(a), groupUniqArrayArray(16)(device_lives.addresses))
FROM device_lives
WHERE site = {site:String} AND ({all:UInt8} = 1 OR device IN {ids:Array})
GROUP BY device, identity, mac
