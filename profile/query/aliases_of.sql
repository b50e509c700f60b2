-- What was ever concluded or decided about some ids, or about ids that became one
-- of them: the history, the last row of an id being in force.
SELECT device, target, toString(source), actor, reason, changed
FROM device_aliases
WHERE site = {site:String} AND (device IN {ids:Array} OR target IN {ids:Array})
ORDER BY changed, device
LIMIT 100000
