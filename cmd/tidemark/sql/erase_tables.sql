-- Tables that hold what was derived, with the columns that say of whom and when.
SELECT table, groupArray(name) AS columns
FROM system.columns
WHERE database = currentDatabase()
  AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree')
  AND table NOT IN ('flows', 'flows_quarantine', 'events', 'headers', 'incidents', 'migrations')
  AND name IN ('device', 'peer_device', 'mac', 'addr', 'peer_addr', 'received')
GROUP BY table
ORDER BY table
