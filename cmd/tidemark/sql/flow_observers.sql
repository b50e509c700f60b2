-- Who else saw some flows: records of the same packets, that is of one
-- conversation in one direction at one time, by another observer (exporter and
-- flow direction), give or take what clocks differ. Aggregates count an interaction by the observer that saw most
-- of it; the record keeps all. Exporters report within two hours of each other.
WITH page AS
(
    SELECT name, conversation, src_addr, src_port, sampler_address, flow_direction, event_start_ns, event_end_ns, time_received_ns
    FROM flows
    WHERE (log, batch_index, pos) IN {flows:Array(Tuple(UInt64, UInt64, UInt32))}
)
SELECT page.name, groupArray(16)((other.seen_by, other.direction, other.seen_as))
FROM page
INNER JOIN
(
    SELECT
        conversation, src_addr, src_port, event_start_ns, event_end_ns,
        sampler_address, flow_direction AS direction, name AS seen_as, replaceRegexpOne(toString(sampler_address), '^::ffff:', '') AS seen_by
    FROM flows
    WHERE conversation IN (SELECT conversation FROM page)
        AND time_received_ns >= (SELECT min(time_received_ns) - toIntervalHour(2) FROM page)
        AND time_received_ns <= (SELECT max(time_received_ns) + toIntervalHour(2) FROM page)
    ORDER BY log, batch_index, pos
) AS other ON other.conversation = page.conversation AND other.src_addr = page.src_addr AND other.src_port = page.src_port
WHERE (other.sampler_address, other.direction) != (page.sampler_address, page.flow_direction)
    AND other.event_start_ns <= page.event_end_ns + toIntervalSecond(2) AND other.event_end_ns >= page.event_start_ns - toIntervalSecond(2)
GROUP BY page.name
