-- Names of up to 20 flows of a device in a range of batches: with a peer, by a
-- service, within a time, or with any (0); those it began as a client, was
-- called by as a server, or whose beginner is not known.
SELECT name
FROM flows
WHERE log = {log:UInt64}
    AND batch_index IN
    (
        SELECT batch_index
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND device = {device:UInt64} AND contacts.last >= {since:DateTime64}
    )
    AND (src_device = {device:UInt64} OR dst_device = {device:UInt64})
    AND ({role:String} = 'unknown' OR initiator = 'unknown' OR ((initiator = 'src') = (src_device = {device:UInt64})) = ({role:String} = 'client'))
    AND event_end_ns >= {since:DateTime64} AND event_start_ns <= {until:DateTime64} + toIntervalSecond(1)
    AND ({proto:UInt8} = 0 OR {port:UInt16} = 0 OR proto = {proto:UInt8} AND {port:UInt16} IN (service_port, src_port, dst_port))
    AND ({peer:UInt64} = 0
        OR {peer_device:UInt64} != 0 AND {peer_device:UInt64} IN (src_device, dst_device)
        OR {peer_device:UInt64} = 0 AND {address:IPv6} IN (src_addr, dst_addr))
ORDER BY batch_index, pos
LIMIT 20
