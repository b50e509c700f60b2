-- Hours of the week that clocks show: how often each carried anything, flows and
-- bytes. Days off by the calendar count as Sundays.
SELECT toUInt8(has({off:Array}, toUInt32(toDate(t, {zone:String}))) ? 7 : toDayOfWeek(t, 0, {zone:String})) AS day, toUInt8(toHour(t, {zone:String})) AS hour, count() AS seen, sum(n_flows), sum(x)
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
