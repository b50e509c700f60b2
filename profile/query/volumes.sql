-- Bins of a device, hourly or of five minutes. Of several observers the one that
-- saw most bytes counts.
SELECT
    t, argMax(o_out, o_out + o_in), argMax(o_in, o_out + o_in), argMax(o_pout, o_out + o_in), argMax(o_pin, o_out + o_in), argMax(o_flows, o_out + o_in)
FROM
(
    SELECT v.t AS t, observer, sum(bytes_out) AS o_out, sum(bytes_in) AS o_in, sum(packets_out) AS o_pout, sum(packets_in) AS o_pin, sum(flows) AS o_flows
    FROM
    (
        SELECT device, t, observer, bytes_out, bytes_in, packets_out, packets_in, flows FROM volumes_5m WHERE {hourly:UInt8} = 0
        UNION ALL
        SELECT device, t, observer, bytes_out, bytes_in, packets_out, packets_in, flows FROM volumes_1h WHERE {hourly:UInt8} = 1
    ) AS v
    WHERE device IN {devices:Array} AND v.t >= {from:DateTime64} AND v.t < {to:DateTime64}
    GROUP BY t, observer
)
GROUP BY t
ORDER BY t
