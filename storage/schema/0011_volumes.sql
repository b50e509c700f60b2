-- volumes_5m: how much a device sent and received in five minutes. A flow is
-- spread evenly over the bins it spans, one of more than six hours over whole
-- hours. A flow makes 200 rows at most, and a batch whose flows would make more
-- than 400,000 takes wider steps: so a datagram of very long flows cannot fill
-- the memory. Whatever is counted once per flow is counted in its first bin. A
-- reader takes the largest sum of any observer.
CREATE TABLE IF NOT EXISTS volumes_5m
(
    device       UInt64,
    t            DateTime('UTC'),
    scope        Enum8('unknown' = 0, 'lan' = 1, 'wan' = 2, 'multicast' = 3, 'transit' = 4),
    role         Enum8('unknown' = 0, 'client' = 1, 'server' = 2),
    observer     UInt64 COMMENT 'hash of (exporter, flow direction)',
    received     Date COMMENT 'day of receipt',
    exporter     SimpleAggregateFunction(anyLast, IPv6),
    bytes_out    SimpleAggregateFunction(sum, UInt64),
    bytes_in     SimpleAggregateFunction(sum, UInt64),
    packets_out  SimpleAggregateFunction(sum, UInt64),
    packets_in   SimpleAggregateFunction(sum, UInt64),
    samples      SimpleAggregateFunction(sum, UInt64) COMMENT 'packets before scaling',
    flows        SimpleAggregateFunction(sum, UInt64),
    failed       SimpleAggregateFunction(sum, UInt64),
    refused      SimpleAggregateFunction(sum, UInt64),
    peers        AggregateFunction(uniqCombined64(12), UInt64) COMMENT 'hosts with which a flow began'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (device, t, scope, role, observer, received)
TTL received + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS volumes_5m_of_flows TO volumes_5m AS
SELECT
    device,
    toDateTime(greatest(base + k * width, start_bin) * 300, 'UTC') AS t,
    scope, role, observer,
    max(day) AS received,
    any(sampler_address) AS exporter,
    sum(out * b_share) AS bytes_out,
    sum((1 - out) * b_share) AS bytes_in,
    sum(out * p_share) AS packets_out,
    sum((1 - out) * p_share) AS packets_in,
    sum(begins * packets) AS samples,
    sum(begins) AS flows,
    sum(begins AND is_failed) AS failed,
    sum(begins AND is_refused) AS refused,
    uniqCombined64StateIf(12)(peer, begins) AS peers
FROM
(
    SELECT
        *,
        arrayJoin(range(toUInt32(steps))) AS k,
        k = 0 AS begins,
        k = 0 ? 0. : least((toFloat64((base + k * width) * 300000000000) - start_ns) / greatest(end_ns - start_ns, 1), 1.) AS from_share,
        k = steps - 1 ? 1. : least((toFloat64((base + (k + 1) * width) * 300000000000) - start_ns) / greatest(end_ns - start_ns, 1), 1.) AS to_share,
        toUInt64(floor(b * to_share)) - toUInt64(floor(b * from_share)) AS b_share,
        toUInt64(floor(p * to_share)) - toUInt64(floor(p * from_share)) AS p_share
    FROM
    (
        SELECT
            day, scope, sampler_address, observer, out, b, p, packets, is_failed, is_refused, start_ns, end_ns, start_bin, width, base, steps,
            if(out = 1, src_device, dst_device) AS device,
            cityHash64(if(out = 1, dst_addr, src_addr)) AS peer,
            CAST(multiIf(initiator = 'unknown', 0, (initiator = 'src') = (out = 1), 1, 2), 'Enum8(\'unknown\' = 0, \'client\' = 1, \'server\' = 2)') AS role
        FROM
        (
            SELECT
                scope, initiator, src_device, dst_device, src_addr, dst_addr, packets, sampler_address,
                toDate(time_received_ns) AS day,
                cityHash64(sampler_address, flow_direction) AS observer,
                least(toFloat64(bytes) * greatest(sampling_rate, 1), 9007199254740992.) AS b,
                least(toFloat64(packets) * greatest(sampling_rate, 1), 9007199254740992.) AS p,
                proto = 6 AND bitTest(presence, 4) AS has_flags,
                firewall_event = 3 AS denied,
                denied OR (has_flags AND bitAnd(tcp_flags, 18) = 2 AND sampling_rate <= 1) AS is_failed,
                denied OR (has_flags AND bitAnd(tcp_flags, 63) IN (4, 20) AND initiator_confidence >= 95 AND initiator = 'dst') AS is_refused,
                toUnixTimestamp64Nano(event_start_ns) AS start_ns,
                toUnixTimestamp64Nano(event_end_ns) AS end_ns,
                intDiv(start_ns, 300000000000) AS start_bin,
                intDiv(end_ns, 300000000000) AS end_bin,
                end_bin - start_bin + 1 AS bins,
                bins <= 72 AS is_short,
                is_short ? bins : intDiv(end_bin, 12) - intDiv(start_bin, 12) + 1 AS wanted,
                sum(least(wanted, 200)) OVER () <= 400000 ? 200 : greatest(1, intDiv(400000, count() OVER ())) AS allowed,
                intDiv(wanted + allowed - 1, allowed) * (is_short ? 1 : 12) AS width,
                is_short ? start_bin : intDiv(start_bin, 12) * 12 AS base,
                intDiv(end_bin - base, width) + 1 AS steps
            FROM flows
            WHERE src_device != 0 OR dst_device != 0
        )
        ARRAY JOIN [CAST(1, 'UInt8'), 0] AS out
        WHERE if(out = 1, src_device, dst_device) != 0
    )
)
GROUP BY device, t, scope, role, observer;

-- volumes_1h: the same by the hour without the peers, kept longer. Hours of the week are read
-- from it.
CREATE TABLE IF NOT EXISTS volumes_1h
(
    device       UInt64,
    t            DateTime('UTC'),
    scope        Enum8('unknown' = 0, 'lan' = 1, 'wan' = 2, 'multicast' = 3, 'transit' = 4),
    role         Enum8('unknown' = 0, 'client' = 1, 'server' = 2),
    observer     UInt64,
    received     Date,
    exporter     SimpleAggregateFunction(anyLast, IPv6),
    bytes_out    SimpleAggregateFunction(sum, UInt64),
    bytes_in     SimpleAggregateFunction(sum, UInt64),
    packets_out  SimpleAggregateFunction(sum, UInt64),
    packets_in   SimpleAggregateFunction(sum, UInt64),
    samples      SimpleAggregateFunction(sum, UInt64),
    flows        SimpleAggregateFunction(sum, UInt64),
    failed       SimpleAggregateFunction(sum, UInt64),
    refused      SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (device, t, scope, role, observer, received)
TTL received + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS volumes_1h_of_5m TO volumes_1h AS
SELECT
    device,
    toStartOfHour(v.t) AS t,
    scope, role, observer, received,
    any(v.exporter) AS exporter,
    sum(v.bytes_out) AS bytes_out,
    sum(v.bytes_in) AS bytes_in,
    sum(v.packets_out) AS packets_out,
    sum(v.packets_in) AS packets_in,
    sum(v.samples) AS samples,
    sum(v.flows) AS flows,
    sum(v.failed) AS failed,
    sum(v.refused) AS refused
FROM volumes_5m AS v
GROUP BY device, t, scope, role, observer, received;
