-- reflection: a device answers requests from outside with many times what was
-- asked, on a port known for it: somebody lets it send to a victim.
--
-- Minimum evidence: 200 kB out to one peer outside within 5 minutes, five times
-- what came in; any state of learning. Sampled flows are scaled; 15 samples, and less
-- sure below 30.
-- Severity 0.85. ATT&CK T1498.002; ICS T0814.
WITH
    touched AS
    (
        SELECT device, peer, port, min(contacts.first) AS begun
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND scope = 'wan' AND proto = 17 AND port IN (17, 19, 53, 69, 111, 123, 137, 161, 389, 520, 1900, 3283, 3702, 5353, 5683, 10001, 11211, 37810) AND role IN ('server', 'unknown')
        GROUP BY device, peer, port
        HAVING sum(bytes_out) >= 5 * sum(bytes_in)
    )
SELECT
    device, 'server' AS role, peer, any(c.peer_device) AS peer_device, any(c.peer_addr) AS peer_addr, toUInt8(17) AS proto, c.port AS port,
    min(c.first) AS since, max(c.last) AS until,
    1. AS strength,
    sum(samples) < 30 ? 0.75 : 0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    'no answers to the outside on this port' AS expected,
    format('answered <peer> by <service>: {} out for {} in', formatReadableSize(sum(bytes_out)), formatReadableSize(sum(bytes_in))) AS observed
FROM contacts AS c
INNER JOIN touched USING (device, peer, port)
WHERE log = {log:UInt64} AND batch_index + 600 > {after:UInt64} AND batch_index <= {upto:UInt64}
    AND scope = 'wan' AND proto = 17 AND c.role IN ('server', 'unknown') AND c.last > touched.begun - toIntervalMinute(5)
    AND c.last > (SELECT min(begun) FROM touched) - toIntervalMinute(5) -- so that older batches are not read
GROUP BY device, peer, c.port
HAVING sum(bytes_out) >= {min_bytes:UInt64} AND sum(bytes_out) >= 5 * sum(bytes_in) AND sum(samples) >= 15
ORDER BY device, peer, port
