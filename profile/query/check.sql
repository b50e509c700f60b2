-- Totals of every aggregate against those of flows, per day of receipt that
-- flows still has and the aggregate still keeps. Only differences are returned.
WITH
    want AS
    (
        SELECT
            toDate(time_received_ns) AS day,
            ['flows', 'bytes_out', 'bytes_in', 'packets_out', 'packets_in'] AS columns,
            [
                countIf(src_device != 0) + countIf(dst_device != 0),
                sumIf(b, src_device != 0), sumIf(b, dst_device != 0),
                sumIf(p, src_device != 0), sumIf(p, dst_device != 0)
            ] AS totals,
            countIf(src_device != 0) AS sent
        FROM
        (
            SELECT
                time_received_ns, src_device, dst_device,
                toUInt64(least(toFloat64(bytes) * greatest(sampling_rate, 1), 9007199254740992.)) AS b,
                toUInt64(least(toFloat64(packets) * greatest(sampling_rate, 1), 9007199254740992.)) AS p
            FROM flows
        )
        GROUP BY day
    ),
    got AS
    (
        SELECT 'contacts' AS aggregate, received AS day, [sum(contacts.flows), sum(bytes_out), sum(bytes_in), sum(packets_out), sum(packets_in)] AS totals FROM contacts GROUP BY day
        UNION ALL
        SELECT 'edges', received AS day, [sum(edges.flows), sum(bytes_out), sum(bytes_in), sum(packets_out), sum(packets_in)] FROM edges GROUP BY day
        UNION ALL
        SELECT 'volumes_5m', received AS day, [sum(volumes_5m.flows), sum(bytes_out), sum(bytes_in), sum(packets_out), sum(packets_in)] FROM volumes_5m GROUP BY day
        UNION ALL
        SELECT 'volumes_1h', received AS day, [sum(volumes_1h.flows), sum(bytes_out), sum(bytes_in), sum(packets_out), sum(packets_in)] FROM volumes_1h GROUP BY day
        UNION ALL
        SELECT 'devices', received AS day, [sum(devices.flows)] FROM devices GROUP BY day
    ),
    kept AS
    (
        SELECT kept.1 AS aggregate, kept.2 AS days
        FROM (SELECT arrayJoin([('contacts', 13), ('edges', 179), ('volumes_5m', 13), ('volumes_1h', 399), ('devices', 399)]) AS kept)
    ),
    compared AS
    (
        SELECT
            kept.aggregate AS aggregate, want.day AS day, want.columns AS columns,
            kept.aggregate = 'devices' ? [want.sent] : want.totals AS expected,
            empty(got.totals) ? arrayResize(emptyArrayUInt64(), length(expected)) : got.totals AS found
        FROM want
        CROSS JOIN kept
        LEFT JOIN got ON got.aggregate = kept.aggregate AND got.day = want.day
        WHERE want.day >= today() - kept.days
    )
SELECT aggregate, day, row.1, row.2, row.3
FROM
(
    SELECT aggregate, day, arrayJoin(arrayZip(arraySlice(columns, 1, length(expected)), found, expected)) AS row
    FROM compared
)
WHERE row.2 != row.3
ORDER BY aggregate, day, row.1
