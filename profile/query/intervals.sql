-- Who says that a device had which address, from when to when.
SELECT device, addr, vrf, mac, begun, ended, toString(source), confidence, name
FROM identity_intervals FINAL
WHERE site = {site:String} AND gateway = 0 AND device IN {ids:Array}
ORDER BY begun, ended, addr, source
LIMIT 1000
