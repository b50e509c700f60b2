SELECT table, partition_id, sum(rows) AS row_count, sum(bytes_on_disk) AS bytes
FROM system.parts
WHERE active AND database = currentDatabase() AND table IN ('flows', 'flows_quarantine')
    AND partition_id < toString(toYYYYMMDD({before:DateTime('UTC')}))
GROUP BY table, partition_id
ORDER BY partition_id, table
