-- What was ever concluded or decided about some ids, and about ids that were one
-- of them for a time.
SELECT device, target, toString(source), actor, reason, changed
FROM device_alias_log
WHERE site = {site:String} AND (device IN {ids:Array} OR device IN (SELECT device FROM device_alias_log WHERE site = {site:String} AND target IN {ids:Array}))
ORDER BY changed, device
LIMIT 100000
