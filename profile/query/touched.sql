-- The edges that new batches touched.
SELECT device, toUInt8(role), peer, proto, port, min(contacts.first) AS since, sum(failed) + sum(refused) > 0 AS failing
FROM contacts
WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND scope IN ('lan', 'wan')
GROUP BY device, role, peer, proto, port
