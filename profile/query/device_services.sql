-- What devices serve and use, and in how many flows they took part. Of several
-- observers of one edge and day the one that saw most bytes counts, as for peers.
-- A UDP port of the ephemeral range is a service only if several asked for it: a
-- client that keeps its port looks like a server to whom it talks.
-- ids are all ids of the devices, everything if there are too many to name; aliases
-- are those that are targets'.
SELECT
    id,
    serves.2, serves.3, serves.1, uses.2, uses.3, uses.1,
    all_flows, all_out, all_in
FROM
(
    SELECT
        id,
        arraySlice(arrayReverseSort(groupArrayIf((peers, proto, port), served)), 1, 20) AS serves,
        arraySlice(arrayReverseSort(groupArrayIf((peers, proto, port), used)), 1, 20) AS uses,
        sum(n_flows) AS all_flows, sum(b_out) AS all_out, sum(b_in) AS all_in
    FROM
    (
        SELECT
            id, role, proto, port, uniqExactIf(peer, scope IN ('lan', 'wan')) AS peers, sum(e_flows) AS n_flows, sum(e_out) AS b_out, sum(e_in) AS b_in,
            peers > 0 AND role = 'server' AND b_out > 0 AND n_flows > sum(e_failed) AND (proto != 17 OR port < 32768 OR peers >= 3) AS served,
            peers > 0 AND role != 'server' AS used
        FROM
        (
            SELECT
                id, role, scope, peer, proto, port, day,
                argMax(o_flows, o_out + o_in) AS e_flows, argMax(o_out, o_out + o_in) AS e_out, argMax(o_in, o_out + o_in) AS e_in, max(o_failed) AS e_failed
            FROM
            (
                SELECT
                    transform(device, {aliases:Array}, {targets:Array}, device) AS id, role, scope, peer, proto, port, day, observer,
                    sum(edges.flows) AS o_flows, sum(bytes_out) AS o_out, sum(bytes_in) AS o_in, sum(edges.failed) + sum(edges.refused) AS o_failed
                FROM edges
                WHERE {all:UInt8} = 1 OR device IN {ids:Array}
                GROUP BY id, role, scope, peer, proto, port, day, observer
            )
            GROUP BY id, role, scope, peer, proto, port, day
        )
        GROUP BY id, role, proto, port
    )
    GROUP BY id
)
