-- contacts: who dealt with whom in one batch and on one day, seen from a device of the site. A
-- flow between two devices is a contact of each. Detectors read the newest
-- batches here, and edges are made of it. Times are of the detection clock;
-- bytes and packets are scaled by the sampling rate and saturate at 2^53.
-- The view groups one batch (an INSERT is one), so what is equal for a batch is
-- not among its keys; the keys fit 32 octets, which ClickHouse hashes fastest.
CREATE TABLE IF NOT EXISTS contacts
(
    log          UInt64,
    batch_index  UInt64,
    received     Date COMMENT 'day of receipt',
    day          Date COMMENT 'of the event',
    device       UInt64,
    role         Enum8('unknown' = 0, 'client' = 1, 'server' = 2) COMMENT 'client: the device began',
    scope        Enum8('unknown' = 0, 'lan' = 1, 'wan' = 2, 'multicast' = 3, 'transit' = 4),
    peer         UInt64 COMMENT 'device id, or hash of the network of a peer outside, or of a group',
    proto        UInt8,
    port         UInt16 COMMENT 'of the service; the lower one if nobody knows who began',
    observer     UInt64 COMMENT 'hash of (exporter, flow direction)',
    exporter     IPv6,
    peer_device  UInt64 COMMENT '0 outside the site',
    peer_addr    IPv6 COMMENT 'one of them',
    confidence   UInt8 COMMENT 'in the role, percent',
    first        DateTime64(3, 'UTC'),
    last         DateTime64(3, 'UTC'),
    bytes_out    UInt64,
    bytes_in     UInt64,
    packets_out  UInt64,
    packets_in   UInt64,
    flows        UInt64,
    samples      UInt64 COMMENT 'packets before scaling',
    syn          UInt64 COMMENT 'flows that were a SYN without ACK, sampled ones too',
    failed       UInt64 COMMENT 'attempts without an answer: SYN without ACK, unsampled; denied by a firewall',
    refused      UInt64 COMMENT 'attempts answered by RST; denied by a firewall'
)
ENGINE = MergeTree
PARTITION BY received
ORDER BY (log, batch_index, device)
TTL received + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS contacts_of_flows TO contacts AS
SELECT
    max(log) AS log,
    max(batch_index) AS batch_index,
    toDate(max(time_received_ns)) AS received,
    toDate(event_start_ns) AS day,
    if(out = 1, src_device, dst_device) AS device,
    CAST(multiIf(initiator = 'unknown', 0, (initiator = 'src') = (out = 1), 1, 2), 'Enum8(\'unknown\' = 0, \'client\' = 1, \'server\' = 2)') AS role,
    scope,
    multiIf(other != 0, other, scope = 'multicast', cityHash64(number), cityHash64(bitShiftRight(number, host_bits))) AS peer,
    proto,
    if(service_port = 0 AND proto IN (6, 17, 132), least(src_port, dst_port), service_port) AS port,
    cityHash64(sampler_address, flow_direction) AS observer,
    any(sampler_address) AS exporter,
    any(other) AS peer_device,
    any(address) AS peer_addr,
    max(initiator_confidence) AS confidence,
    toDateTime64(min(event_start_ns), 3, 'UTC') AS first,
    toDateTime64(max(event_end_ns), 3, 'UTC') AS last,
    sum(out * b) AS bytes_out,
    sum((1 - out) * b) AS bytes_in,
    sum(out * p) AS packets_out,
    sum((1 - out) * p) AS packets_in,
    count() AS flows,
    sum(packets) AS samples,
    sum(is_syn) AS syn,
    sum(is_failed) AS failed,
    sum(is_refused) AS refused
FROM
(
    SELECT
        *, out,
        if(out = 1, dst_device, src_device) AS other,
        if(out = 1, dst_addr, src_addr) AS address,
        toUInt128(address) AS number,
        if(bitShiftRight(number, 32) = 65535, 8, 80) AS host_bits -- a /24 of IPv4, a /48 of IPv6
    FROM
    (
        SELECT
            log, batch_index, time_received_ns, proto, scope, sampler_address, flow_direction, src_device, dst_device,
            src_addr, dst_addr, src_port, dst_port, service_port, initiator, initiator_confidence, event_start_ns, event_end_ns, packets,
            toUInt64(least(toFloat64(bytes) * greatest(sampling_rate, 1), 9007199254740992.)) AS b,
            toUInt64(least(toFloat64(packets) * greatest(sampling_rate, 1), 9007199254740992.)) AS p,
            proto = 6 AND bitTest(presence, 4) AS has_flags,
            has_flags AND bitAnd(tcp_flags, 18) = 2 AS is_syn,
            firewall_event = 3 AS denied,
            denied OR (is_syn AND sampling_rate <= 1) AS is_failed,
            denied OR (has_flags AND bitAnd(tcp_flags, 63) IN (4, 20) AND initiator_confidence >= 95 AND initiator = 'dst') AS is_refused
        FROM flows
        WHERE src_device != 0 OR dst_device != 0
    )
    ARRAY JOIN [CAST(1, 'UInt8'), 0] AS out
    WHERE if(out = 1, src_device, dst_device) != 0
)
GROUP BY device, role, scope, peer, proto, port, observer, day;

-- edges: the ledger of interactions, per device, role, peer, service and day of
-- the event. A reader takes the largest sum of any observer: two exporters that
-- saw one flow are no two flows.
CREATE TABLE IF NOT EXISTS edges
(
    device       UInt64,
    role         Enum8('unknown' = 0, 'client' = 1, 'server' = 2),
    scope        Enum8('unknown' = 0, 'lan' = 1, 'wan' = 2, 'multicast' = 3, 'transit' = 4),
    peer         UInt64,
    proto        UInt8,
    port         UInt16,
    day          Date COMMENT 'of the event',
    received     Date COMMENT 'of the receipt',
    observer     UInt64,
    exporter     SimpleAggregateFunction(anyLast, IPv6),
    peer_device  SimpleAggregateFunction(anyLast, UInt64),
    peer_addr    SimpleAggregateFunction(anyLast, IPv6),
    confidence   SimpleAggregateFunction(max, UInt8),
    first        SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last         SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    bytes_out    SimpleAggregateFunction(sum, UInt64),
    bytes_in     SimpleAggregateFunction(sum, UInt64),
    packets_out  SimpleAggregateFunction(sum, UInt64),
    packets_in   SimpleAggregateFunction(sum, UInt64),
    flows        SimpleAggregateFunction(sum, UInt64),
    samples      SimpleAggregateFunction(sum, UInt64),
    syn          SimpleAggregateFunction(sum, UInt64),
    failed       SimpleAggregateFunction(sum, UInt64),
    refused      SimpleAggregateFunction(sum, UInt64),
    INDEX of_peer peer TYPE bloom_filter GRANULARITY 4
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (device, role, scope, peer, proto, port, day, received, observer)
TTL received + INTERVAL 180 DAY
SETTINGS non_replicated_deduplication_window = 10000;

-- contacts are grouped already: a contact is one row of the ledger.
CREATE MATERIALIZED VIEW IF NOT EXISTS edges_of_contacts TO edges AS
SELECT
    device, role, scope, peer, proto, port,
    day, received, observer, exporter, peer_device, peer_addr, confidence, first, last,
    bytes_out, bytes_in, packets_out, packets_in, flows, samples, syn, failed, refused
FROM contacts;

-- devices: every device that has sent something, per day of receipt. Whatever
-- was only sent to may not exist.
CREATE TABLE IF NOT EXISTS devices
(
    site         LowCardinality(String),
    device       UInt64,
    received     Date,
    identity     Enum8('none' = 0, 'mac' = 1, 'address' = 2, 'gateway' = 3),
    mac          UInt64 COMMENT 'of the device, or of the gateway it is behind',
    first        SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last         SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    flows        SimpleAggregateFunction(sum, UInt64),
    addresses    SimpleAggregateFunction(groupUniqArrayArray(16), Array(IPv6))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (site, device, received, identity, mac)
TTL received + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS devices_of_flows TO devices AS
SELECT
    any(flows.site) AS site,
    src_device AS device,
    toDate(max(time_received_ns)) AS received,
    src_identity AS identity,
    if(bitTest(presence, 8) AND src_identity IN ('mac', 'gateway'), src_mac, 0) AS mac,
    toDateTime64(min(event_start_ns), 3, 'UTC') AS first,
    toDateTime64(max(event_end_ns), 3, 'UTC') AS last,
    count() AS flows,
    groupUniqArray(16)(src_addr) AS addresses
FROM flows
WHERE src_device != 0
GROUP BY device, identity, mac;
