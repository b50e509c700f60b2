-- Stations that an inventory, a lease or a neighbour table names and no flow
-- shows.
SELECT device, any(mac), toString(any(addr)), arraySort(groupUniqArray(toString(source))), any(name)
FROM identity_intervals
WHERE site = {site:String} AND source != 'flow' AND gateway = 0
    AND ended > (SELECT max(devices.last) FROM devices WHERE site = {site:String})
    AND device NOT IN (SELECT device FROM devices WHERE site = {site:String})
    AND device NOT IN (SELECT device FROM edges)
GROUP BY device
ORDER BY any(addr)
LIMIT 1000
