-- What the database takes, and what the flows received since {since} take of it.
SELECT
    sum(bytes_on_disk) AS total,
    sumIf(bytes_on_disk, table IN ('flows', 'flows_quarantine')) AS flows,
    sumIf(bytes_on_disk, table IN ('flows', 'flows_quarantine') AND partition_id >= toString(toYYYYMMDD({since:DateTime('UTC')}))) AS recent,
    (SELECT count() > 0 ? toUnixTimestamp64Nano(min(time_received_ns)) : 0 FROM flows) AS first_received
FROM system.parts
WHERE active AND database = currentDatabase()
