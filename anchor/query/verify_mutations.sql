-- What the engine remembers of statements that changed rows in place.
SELECT table, command, toString(create_time)
FROM system.mutations
WHERE database = currentDatabase() AND table IN ('flows', 'flows_quarantine', 'events')
ORDER BY create_time DESC
LIMIT 5
