-- The addresses of one network outside that a device dealt with in a time, by service,
-- most flows first: of the newest 500 batches in which it dealt with the network.
SELECT role, proto, port, addr, count() AS n, uniqExact(day)
FROM
(
    SELECT
        src_device IN {devices:Array} AS sent,
        multiIf(initiator = 'unknown', 'unknown', (initiator = 'src') = sent, 'client', 'server') AS role,
        proto, service_port AS port, sent ? dst_addr : src_addr AS addr, toDate(event_start_ns) AS day
    FROM flows
    WHERE (log, batch_index) IN
        (
            SELECT DISTINCT log, batch_index
            FROM contacts
            WHERE device IN {devices:Array} AND peer_device = 0 AND peer_addr >= {low:IPv6} AND peer_addr <= {high:IPv6}
                AND contacts.last >= {from:DateTime64} AND contacts.first <= {to:DateTime64}
            ORDER BY batch_index DESC
            LIMIT 500
        )
        AND (src_device IN {devices:Array} OR dst_device IN {devices:Array})
        AND event_end_ns >= {from:DateTime64} AND event_start_ns <= {to:DateTime64} + toIntervalSecond(1)
)
WHERE addr >= {low:IPv6} AND addr <= {high:IPv6}
GROUP BY role, proto, port, addr
ORDER BY n DESC, addr
LIMIT 256
