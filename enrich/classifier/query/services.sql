-- What devices offer (role 0), use (1) and send to groups (2). What only failed
-- or went unanswered is no service: a device that scans does not use what it
-- scans for. A port that systems take for clients is a service only when it
-- comes back: once or twice, the port of a client was taken for a server's. Of
-- each device the hundred most used.
SELECT device, part, wan, proto, port, peers, n_flows
FROM
(
    SELECT
        device,
        toUInt8(multiIf(role = 'server', 0, scope = 'multicast', 2, 1)) AS part,
        scope = 'wan' AS wan,
        proto, port,
        uniqExact(peer) AS peers,
        sum(edges.flows) AS n_flows
    FROM edges
    WHERE device IN {devices:Array(UInt64)} AND scope IN ('lan', 'wan', 'multicast') AND (role != 'unknown' OR scope = 'multicast') AND proto IN (6, 17, 132)
    GROUP BY device, part, wan, proto, port
    HAVING n_flows > sum(failed) + sum(refused) AND (part = 1 OR sum(bytes_out) > 0) AND (port < 32768 OR n_flows > 2)
)
ORDER BY device, peers DESC, n_flows DESC
LIMIT 100 BY device
