-- What some ids, or all, are called: by people (1), by a source of identity (0),
-- when that was said.
SELECT device, name, toUInt8(0), written
FROM identity_intervals
WHERE site = {site:String} AND gateway = 0 AND name != '' AND ({all:UInt8} = 1 OR device IN {ids:Array})
UNION ALL
SELECT device, label, 1, changed FROM labels FINAL WHERE site = {site:String} AND label != '' AND ({all:UInt8} = 1 OR device IN {ids:Array})
