-- The version in force of each incident. With touched only those that new findings
-- may change, that have been quiet since quiet, speak of an exporter, or wait for the
-- digest.
SELECT
    id, version, toString(site), device, toString(family), target, toString(state), opened, changed, findings, risk, strength, notify,
    terms.name, terms.value, expected, observed, text, attack, flows, query, actor, reason,
    families, lines, also, toString(verdict), told, told_today, told_at, told_risk, held
FROM incidents FINAL
WHERE site = {site:String}
    AND ({id:UInt64} = 0 OR id = {id:UInt64})
    AND ({device:UInt64} = 0 OR device = {device:UInt64})
    AND ({open:UInt8} = 0 OR state != 'closed')
    AND ({notified:UInt8} = 0 OR notify = 1)
    AND risk >= {risk:UInt8}
    AND ({verdict:String} = '' OR verdict = {verdict:String})
    AND ({touched:UInt8} = 0 OR state != 'closed' AND (device IN {devices:Array} OR changed <= {quiet:DateTime64} OR bitShiftRight(device, 32) = 0xE4E40000 OR bitShiftRight(device, 48) = 0xE6E6) OR toUnixTimestamp64Milli(held) > 0)
ORDER BY state = 'closed', risk DESC, changed DESC, id
LIMIT {limit:UInt32}
