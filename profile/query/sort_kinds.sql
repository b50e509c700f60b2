-- Of which kind some ids, or all, are: by people (1), by the rules (0), when that was
-- said.
SELECT device, CAST(kinds.kind, 'String'), toUInt8(0), classified FROM kinds FINAL WHERE site = {site:String} AND ({all:UInt8} = 1 OR device IN {ids:Array})
UNION ALL
SELECT device, CAST(kind_decisions.kind, 'String'), 1, decided FROM kind_decisions FINAL WHERE site = {site:String} AND kind != '' AND ({all:UInt8} = 1 OR device IN {ids:Array})
