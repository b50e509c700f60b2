-- Places of flow records, newest first. Parameters as in flows.sql.
SELECT log, batch_index, pos, '' AS said, emptyArrayString() AS names
FROM flows
WHERE (empty({devices:Array(UInt64)}) OR has({devices:Array(UInt64)}, src_device) OR has({devices:Array(UInt64)}, dst_device))
  AND ({address:String} = '' OR src_addr = toIPv6OrDefault({address:String}) OR dst_addr = toIPv6OrDefault({address:String}))
  AND ({port:UInt16} = 0 OR src_port = {port:UInt16} OR dst_port = {port:UInt16})
  AND ({since:Int64} = 0 OR event_start_ns >= fromUnixTimestamp64Nano({since:Int64}, 'UTC'))
  AND ({until:Int64} = 0 OR event_start_ns < fromUnixTimestamp64Nano({until:Int64}, 'UTC'))
  AND ({log:UInt64} = 0 OR (log = {log:UInt64} AND batch_index = {batch:UInt64} AND ({pos:Int64} < 0 OR pos = {pos:Int64})))
ORDER BY event_start_ns DESC, log, batch_index, pos
LIMIT {rows:UInt64}
