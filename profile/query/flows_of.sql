-- The first flows of each of some findings in a range of batches: those of its
-- device with a peer, by a service, within a time, or with any (0); those it
-- began as a client, was called by as a server, or whose beginner is not known.
-- Finding n stands at place n of every list. The rows are read once for all.
WITH groupArraySorted(20)((batch_index, pos)) AS earliest
SELECT
    n,
    arrayMap(p -> p.1, earliest) AS batches,
    arrayMap(p -> p.2, earliest) AS positions
FROM
(
    SELECT
        batch_index, pos, event_start_ns, event_end_ns, src_device, dst_device, initiator,
        src_addr, dst_addr, proto, service_port, src_port, dst_port,
        arrayJoin(arrayDistinct([src_device, dst_device])) AS device
    FROM flows
    WHERE log = {log:UInt64}
        AND batch_index IN
        (
            SELECT batch_index
            FROM contacts
            WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
                AND device IN {devices:Array(UInt64)} AND contacts.last >= {since:DateTime64}
        )
        AND (src_device IN {devices:Array(UInt64)} OR dst_device IN {devices:Array(UInt64)})
        AND event_end_ns >= {since:DateTime64} AND event_start_ns <= {until:DateTime64} + toIntervalSecond(1)
) AS f
INNER JOIN
(
    SELECT
        arrayJoin(arrayEnumerate({devices:Array(UInt64)})) AS n,
        {devices:Array(UInt64)}[n] AS device,
        {roles:Array(String)}[n] AS as_role,
        fromUnixTimestamp64Milli(toInt64({sinces:Array(UInt64)}[n]), 'UTC') AS since,
        fromUnixTimestamp64Milli(toInt64({untils:Array(UInt64)}[n]), 'UTC') AS until,
        {protos:Array(UInt64)}[n] AS with_proto,
        {ports:Array(UInt64)}[n] AS with_port,
        {peers:Array(UInt64)}[n] AS peer,
        {peer_devices:Array(UInt64)}[n] AS peer_device,
        {addresses:Array(IPv6)}[n] AS address
) AS w ON f.device = w.device
WHERE (as_role = 'unknown' OR initiator = 'unknown' OR ((initiator = 'src') = (src_device = device)) = (as_role = 'client'))
    AND event_end_ns >= since AND event_start_ns <= until + toIntervalSecond(1)
    AND (with_proto = 0 OR with_port = 0 OR proto = with_proto AND with_port IN (service_port, src_port, dst_port))
    AND (peer = 0
        OR peer_device != 0 AND (peer_device = src_device OR peer_device = dst_device)
        OR peer_device = 0 AND (address = src_addr OR address = dst_addr))
GROUP BY n
