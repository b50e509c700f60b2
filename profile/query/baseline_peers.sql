-- The edges of a device on the days asked for, most bytes first. Of several observers of
-- one edge and day the one that saw most bytes counts.
SELECT
    toString(role), toString(scope), any(other), toString(any(address)), proto, port, uniqExact(peer) OVER (PARTITION BY role, proto, port) AS peers,
    min(begun), max(seen), uniqExact(day), sum(b_out), sum(b_in), sum(n_flows), sum(n_failed), max(sure)
FROM
(
    SELECT
        role, scope, peer, proto, port, day, any(o_other) AS other, any(o_address) AS address, min(o_begun) AS begun, max(o_seen) AS seen,
        max(o_sure) AS sure, argMax(o_out, o_out + o_in) AS b_out, argMax(o_in, o_out + o_in) AS b_in, argMax(o_flows, o_out + o_in) AS n_flows, max(o_failed) AS n_failed
    FROM
    (
        SELECT
            role, scope, peer, proto, port, day, observer, anyLast(peer_device) AS o_other, anyLast(peer_addr) AS o_address,
            min(edges.first) AS o_begun, max(edges.last) AS o_seen, max(confidence) AS o_sure,
            sum(bytes_out) AS o_out, sum(bytes_in) AS o_in, sum(flows) AS o_flows, greatest(sum(failed), sum(refused)) AS o_failed
        FROM edges
        WHERE device IN {devices:Array} AND day >= toDate({from:DateTime64}) AND day < toDate({to:DateTime64})
        GROUP BY role, scope, peer, proto, port, day, observer
    )
    GROUP BY role, scope, peer, proto, port, day
)
GROUP BY role, scope, peer, proto, port
ORDER BY sum(b_out) + sum(b_in) DESC, min(begun)
LIMIT 1000
