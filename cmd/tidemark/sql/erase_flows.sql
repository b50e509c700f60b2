-- Positions of flow records of a device, or from or to an address, by batch. An
-- address may also stand in an extension, translated by NAT for example.
SELECT batch_index, arraySort(groupUniqArray(pos)) AS positions
FROM
(
    SELECT log, batch_index, pos, time_received_ns, src_device, dst_device, src_addr, dst_addr, extensions FROM flows
    UNION ALL
    SELECT log, batch_index, pos, time_received_ns, src_device, dst_device, src_addr, dst_addr, extensions FROM flows_quarantine
)
WHERE log = {log:UInt64}
  AND ({from:Int64} = 0 OR time_received_ns >= fromUnixTimestamp64Nano({from:Int64}, 'UTC'))
  AND ({to:Int64} = 0 OR time_received_ns < fromUnixTimestamp64Nano({to:Int64}, 'UTC'))
  AND (src_device IN {devices:Array(UInt64)} OR dst_device IN {devices:Array(UInt64)}
       OR {address:String} != '' AND (src_addr = toIPv6OrDefault({address:String}) OR dst_addr = toIPv6OrDefault({address:String})
           OR arrayExists(v -> has(v, if(isIPv4String({address:String}), reinterpretAsFixedString(byteSwap(toUInt32(toIPv4OrDefault({address:String}))))::String,
                                                                         reinterpretAsFixedString(toIPv6OrDefault({address:String}))::String)), mapValues(extensions))))
GROUP BY batch_index
ORDER BY batch_index
