-- The edges that new batches touched, and signs of what some detectors look for.
SELECT
    device, toUInt8(role), peer, proto, port, min(contacts.first) AS since,
    sum(failed) + sum(refused) > 0 AS failing,
    sum(packets_out) >= 100 AND (10 * sum(packets_in) <= sum(packets_out) OR 10 * sum(syn) >= sum(packets_out) OR port = 53 AND role != 'server') AS pouring,
    proto = 17 AND max(scope = 'wan') AND sum(bytes_out) >= 50000 AND sum(bytes_out) >= 5 * sum(bytes_in) AS answering,
    proto = 6 AND port IN (21, 22, 23, 25, 110, 139, 143, 389, 445, 465, 587, 993, 995, 1433, 1521, 2222, 2323, 3306, 3389, 5432, 5900, 5901, 5985, 5986, 6379, 8291)
        AND sum(bytes_in) > 0 AS logins,
    port = 53 AND role != 'server' AND (sum(bytes_out) > 90 * sum(packets_out) OR sum(packets_out) >= 100) AS asking,
    proto = 6 AND role = 'server' AND max(scope = 'wan') AND sum(bytes_out) > 60 * sum(packets_out) AS entered,
    role = 'server' AND (proto = 6 AND port IN (102, 502, 789, 1911, 2404, 4840, 4911, 9600, 18245, 20000, 44818) OR proto = 17 AND port IN (9600, 20000, 44818, 47808)) AS controlled
FROM contacts
WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND (scope IN ('lan', 'wan') OR scope = 'transit' AND packets_out >= 100)
GROUP BY device, role, peer, proto, port
