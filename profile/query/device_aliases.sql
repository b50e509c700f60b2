-- Which ids are another device's, of those joined with some ids, or of all.
SELECT device, target
FROM device_aliases FINAL
WHERE site = {site:String} AND target != device
    AND ({all:UInt8} = 1 OR device IN {ids:Array} OR target IN {ids:Array}
        OR target IN (SELECT target FROM device_aliases FINAL WHERE site = {site:String} AND target != device AND device IN {ids:Array}))
