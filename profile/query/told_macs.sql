-- Which MAC is told of ids that flows show without one of their own.
SELECT device, argMax(identity_intervals.mac, written)
FROM identity_intervals
WHERE site = {site:String} AND gateway = 0
    AND mac NOT IN (SELECT mac FROM device_lives WHERE site = {site:String} AND identity = 'gateway' AND mac != 0)
    AND device IN (SELECT device FROM device_lives WHERE site = {site:String} AND identity != 'mac')
GROUP BY device
