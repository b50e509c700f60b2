-- The events of an alert, oldest first, with what they say and the flows they name.
SELECT log, batch_index, pos, JSONExtractString(body, 'text') AS said, JSONExtract(body, 'flows', 'Array(String)') AS names
FROM events
WHERE log = {log:UInt64} AND JSONExtractString(body, 'incident') = {incident:String}
ORDER BY batch_index, pos
