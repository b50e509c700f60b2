-- Hours of the week: how often each carried anything, flows and bytes.
SELECT toUInt8(toDayOfWeek(t)) AS day, toUInt8(toHour(t)) AS hour, count() AS seen, sum(n_flows), sum(x)
FROM
(
    SELECT t, argMax(o_flows, o_x) AS n_flows, max(o_x) AS x
    FROM
    (
        SELECT v.t AS t, observer, sum(flows) AS o_flows, sum(bytes_out) + sum(bytes_in) AS o_x
        FROM volumes_1h AS v
        WHERE device IN {devices:Array}
        GROUP BY t, observer
    )
    GROUP BY t
)
GROUP BY day, hour
ORDER BY day, hour
