-- Flow records, newest first. Parameters: devices (all ids of one, [] = any), address, port, since
-- and until (event time, ns, 0 = open), log and batch (batch 0 with log 0 = any), rows.
SELECT
    name,
    * REPLACE (
        lower(leftPad(hex(log), 16, '0')) AS log,
        replaceRegexpOne(toString(sampler_address), '^::ffff:', '') AS sampler_address,
        replaceRegexpOne(toString(src_addr), '^::ffff:', '') AS src_addr,
        replaceRegexpOne(toString(dst_addr), '^::ffff:', '') AS dst_addr,
        lower(MACNumToString(src_mac)) AS src_mac,
        lower(MACNumToString(dst_mac)) AS dst_mac,
        lower(leftPad(hex(src_device), 16, '0')) AS src_device,
        lower(leftPad(hex(dst_device), 16, '0')) AS dst_device,
        lower(leftPad(hex(conversation), 16, '0')) AS conversation,
        mapApply((k, v) -> (if(k < 65536, toString(k), concat(toString(bitShiftRight(k, 16)), '/', toString(k % 65536))),
                            arrayMap(octets -> lower(hex(octets)), v)), extensions) AS extensions
    )
FROM flows
WHERE (empty({devices:Array(UInt64)}) OR has({devices:Array(UInt64)}, flows.src_device) OR has({devices:Array(UInt64)}, flows.dst_device))
  AND ({address:String} = '' OR flows.src_addr = toIPv6OrDefault({address:String}) OR flows.dst_addr = toIPv6OrDefault({address:String}))
  AND ({port:UInt16} = 0 OR flows.src_port = {port:UInt16} OR flows.dst_port = {port:UInt16})
  AND ({since:Int64} = 0 OR flows.event_start_ns >= fromUnixTimestamp64Nano({since:Int64}, 'UTC'))
  AND ({until:Int64} = 0 OR flows.event_start_ns < fromUnixTimestamp64Nano({until:Int64}, 'UTC'))
  AND ({log:UInt64} = 0 OR (flows.log = {log:UInt64} AND flows.batch_index = {batch:UInt64}
       AND ({pos:Int64} < 0 OR flows.pos = {pos:Int64})))
ORDER BY event_start_ns DESC, flows.log, flows.batch_index, flows.pos
LIMIT {rows:UInt64}
