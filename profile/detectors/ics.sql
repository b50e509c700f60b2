-- ics: somebody new speaks to a controller in a protocol that can write to it.
--
-- The client is new to this server; either the client is a learned device, or
-- the server has had clients for a day and this was none of them. Sampling only
-- delays: one packet proves the contact. A port that was only knocked at spoke
-- with nobody: a RST or SYN-ACK has no payload (at most 60 octets). Ports that
-- clients draw too (44818, 47808) need a client with such a port of its own.
--
-- Minimum evidence: one answered session; any state of learning of the client.
-- Severity 0.75. ATT&CK ICS T0848, T0855, T0836, T0843.
WITH
    touched AS
    (
        SELECT device, peer, proto, port, min(contacts.first) AS since
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND scope IN ('lan', 'wan') AND role = 'server' AND confidence >= (port >= 32768 ? 70 : 60)
            AND (proto = 6 AND port IN (102, 502, 789, 1911, 2404, 4840, 4911, 9600, 18245, 20000, 44818) OR proto = 17 AND port IN (9600, 20000, 44818, 47808))
        GROUP BY device, peer, proto, port
    ),
    ages AS
    (
        SELECT device AS peer, min(devices.first) + toIntervalSecond({learning:UInt64}) AS learned
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT touched.peer FROM touched)
        GROUP BY device
    ),
    clients AS
    (
        SELECT
            device, peer, proto, port, min(edges.first) AS begun, max(edges.last) AS seen, anyLast(peer_device) AS other, anyLast(peer_addr) AS address,
            sum(bytes_out) AS b_out, sum(bytes_in) AS b_in
        FROM edges
        WHERE (device, proto, port) IN (SELECT device, proto, port FROM touched) AND edges.role = 'server' AND edges.scope IN ('lan', 'wan')
            AND (edges.proto != 6 OR bytes_out > 60 * packets_out OR packets_out > flows AND samples >= packets_out + packets_in)
        GROUP BY device, peer, proto, port
    ),
    masters AS
    (
        SELECT device, proto, port, groupArray(begun) AS list
        FROM clients
        GROUP BY device, proto, port
    )
SELECT
    device, 'server' AS role, peer, clients.other AS peer_device, clients.address AS peer_addr, proto, port,
    clients.begun AS since, least(clients.seen, clients.begun + toIntervalDay(1)) AS until,
    1. AS strength,
    0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    format('only its {} known masters', toString(arrayCount(b -> b < since, list))) AS expected,
    format('<peer> began to speak <service> with it: {} in, {} out', formatReadableSize(clients.b_in), formatReadableSize(clients.b_out)) AS observed
FROM clients
INNER JOIN touched USING (device, peer, proto, port)
INNER JOIN masters USING (device, proto, port)
LEFT JOIN ages USING (peer)
WHERE touched.since < clients.begun + toIntervalDay(1) AND clients.b_out > 0
    AND (ages.learned > toDateTime64(0, 3, 'UTC') AND clients.begun >= ages.learned OR arrayExists(b -> b <= clients.begun - toIntervalDay(1), list))
ORDER BY device, peer, port
