-- Under which identities some ids, or all, were seen, in as many rows as they are
-- stored in.
SELECT device, toUInt8(identity), mac, device_lives.first, device_lives.last, sent, addresses
FROM device_lives
WHERE site = {site:String} AND ({all:UInt8} = 1 OR device IN {ids:Array})
ORDER BY device
