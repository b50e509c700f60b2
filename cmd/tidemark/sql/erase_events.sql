-- Positions of events that name a device, by any of its ids, or an address, in a
-- time, and of all events of some alerts.
SELECT batch_index, arraySort(groupUniqArray(pos)) AS positions
FROM events
WHERE log = {log:UInt64}
  AND kind NOT IN ('genesis', 'retention', 'erasure', 'loss')
  AND (has({alerts:Array(String)}, JSONExtractString(body, 'incident'))
       OR ({from:Int64} = 0 OR time >= fromUnixTimestamp64Nano({from:Int64}, 'UTC'))
      AND ({to:Int64} = 0 OR time < fromUnixTimestamp64Nano({to:Int64}, 'UTC'))
      AND match(body, {pattern:String}))
GROUP BY batch_index
ORDER BY batch_index
