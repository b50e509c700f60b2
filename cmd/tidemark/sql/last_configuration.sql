-- The settings that the log recorded last, '' if it never did.
SELECT JSONExtractRaw(argMax(body, (batch_index, pos)), 'settings')
FROM events
WHERE log = {log:UInt64} AND JSONExtractString(body, 'kind') = {kind:String}
