-- Ids that are another device's, those that were joined last first.
SELECT device, target
FROM device_aliases FINAL
WHERE site = {site:String} AND target != device
ORDER BY changed DESC, device
LIMIT {limit:UInt64}
