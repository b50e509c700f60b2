-- Alerts of which an event names a device, by any of its ids, or an address, in a
-- time by the collector's clock; without a time, those that say so now as well.
SELECT DISTINCT alert
FROM
(
    SELECT JSONExtractString(body, 'incident') AS alert
    FROM events
    WHERE log = {log:UInt64} AND alert != ''
      AND ({from:Int64} = 0 OR time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC'))
      AND ({to:Int64} = 0 OR time < fromUnixTimestamp64Nano({to:Int64}, 'UTC'))
      AND match(body, {pattern:String})
    UNION ALL
    SELECT leftPad(lower(hex(id)), 16, '0') AS alert
    FROM incidents
    WHERE {from:Int64} = 0 AND {to:Int64} = 0
      AND (device IN {devices:Array(UInt64)}
           OR match(concat(target, ' ', expected, ' ', observed, ' ', text, ' ', query, ' ', reason, ' ', toJSONString(lines)), {pattern:String}))
)
ORDER BY alert
