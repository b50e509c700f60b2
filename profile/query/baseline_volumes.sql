-- Bytes of the hours that carried any: median, 95th percentile, largest.
SELECT
    toString(scope), count(),
    toUInt64(quantileExact(0.5)(b_out)), toUInt64(quantileExact(0.95)(b_out)), max(b_out),
    toUInt64(quantileExact(0.5)(b_in)), toUInt64(quantileExact(0.95)(b_in)), max(b_in)
FROM
(
    SELECT scope, t, max(o_out) AS b_out, max(o_in) AS b_in
    FROM
    (
        SELECT scope, v.t AS t, observer, sum(bytes_out) AS o_out, sum(bytes_in) AS o_in
        FROM volumes_1h AS v
        WHERE device IN {devices:Array}
        GROUP BY scope, t, observer
    )
    GROUP BY scope, t
)
GROUP BY scope
ORDER BY scope
