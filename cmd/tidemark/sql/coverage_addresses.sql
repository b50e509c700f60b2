-- Addresses of devices that nobody of the site deals with and that sent nothing,
-- from the newest batches.
SELECT dst_device, toString(any(dst_addr))
FROM flows
WHERE (log, batch_index) IN (SELECT log, arrayJoin(range(toUInt64(newest - least(newest, toUInt64(100))), newest + 1)) FROM (SELECT log, max(batch_index) AS newest FROM contacts GROUP BY log))
    AND dst_device IN {devices:Array(UInt64)}
GROUP BY dst_device
