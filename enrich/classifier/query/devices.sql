-- Who the devices are: their own MAC, whichever exporter shows it, or their addresses
-- where no MAC is known.
SELECT
    device,
    argMaxIf(mac, devices.flows, identity = 'mac' AND mac != 0) AS own_mac,
    own_mac = 0 ? arrayMap(a -> toString(a), groupUniqArrayArray(16)(addresses)) : emptyArrayString() AS bare,
    max(devices.last)
FROM
(
    SELECT device, mac, identity, devices.flows, devices.last, addresses FROM devices WHERE site = {site:String} AND device IN {devices:Array(UInt64)}
) AS devices
GROUP BY device
