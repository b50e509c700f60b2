-- flows: one row per flow record, in the order of the ledger. The columns down to
-- `extensions` are the record and are hashed (docs/formats/ledger.md); those after
-- it are enrichment and may be recomputed. Rows leave by retention, which the
-- ledger announces first, never by TTL.
CREATE TABLE IF NOT EXISTS flows
(
    log                 UInt64 COMMENT 'first 8 octets of the log id',
    site                LowCardinality(String),
    batch_index         UInt64,
    pos                 UInt32,

    type                Enum8('netflow_v1' = 1, 'netflow_v5' = 5, 'netflow_v7' = 7, 'netflow_v9' = 9, 'ipfix' = 10, 'sflow_v5' = 12) COMMENT 'export protocol',
    transport           Enum8('udp' = 0, 'tcp' = 1, 'tls' = 2, 'dtls' = 3, 'file' = 4),
    time_received_ns    DateTime64(9, 'UTC') COMMENT 'this machine''s clock',
    time_flow_start_ns  DateTime64(9, 'UTC') COMMENT 'as exported; IE 152, 150, 154, 156, 22; presence bit 2',
    time_flow_end_ns    DateTime64(9, 'UTC') COMMENT 'as exported; IE 153, 151, 155, 157, 21; presence bit 3',
    sampler_address     IPv6 COMMENT 'UDP source address of the exporter',
    observation_domain_id UInt32 COMMENT 'IE 149; v9 source id; v5 engine; sFlow sub-agent',
    sequence_num        UInt32,
    src_addr            IPv6 COMMENT 'IE 8, 27',
    dst_addr            IPv6 COMMENT 'IE 12, 28',
    src_port            UInt16 COMMENT 'IE 7',
    dst_port            UInt16 COMMENT 'IE 11; ICMP: type * 256 + code (IE 32, 139)',
    proto               UInt8 COMMENT 'IE 4',
    flow_direction      UInt8 COMMENT 'IE 61: 0 ingress, 1 egress; presence bit 5',
    tcp_flags           UInt16 COMMENT 'IE 6; presence bit 4',
    bytes               UInt64 COMMENT 'IE 1, 85, 231; as exported, not scaled; presence bit 0',
    packets             UInt64 COMMENT 'IE 2, 86, 298; as exported, not scaled; presence bit 1',
    sampling_rate       UInt32 COMMENT '1 = every packet; IE 34, 305, 50',
    src_mac             UInt64 COMMENT 'IE 56; MACNumToString(src_mac); presence bit 8',
    dst_mac             UInt64 COMMENT 'IE 80, 57; presence bit 9',
    src_vlan            UInt16 COMMENT 'IE 58, 243; presence bit 10',
    dst_vlan            UInt16 COMMENT 'IE 59, 254; presence bit 11',
    in_if               UInt32 COMMENT 'IE 10; presence bit 12',
    out_if              UInt32 COMMENT 'IE 14; presence bit 13',
    presence            UInt16 COMMENT 'which of the optional fields were exported',
    ip_tos              UInt8 COMMENT 'IE 5; presence bit 6',
    flow_end_reason     UInt8 COMMENT 'IE 136; presence bit 7',
    firewall_event      UInt8 COMMENT 'IE 233; presence bit 15',
    nat_event           UInt8 COMMENT 'IE 230; presence bit 15',
    quality             UInt16 COMMENT 'what was uncertain at decode',
    src_as              UInt32 COMMENT 'IE 16; presence bit 14',
    dst_as              UInt32 COMMENT 'IE 17; presence bit 14',
    extensions          Map(UInt64, Array(String)) COMMENT 'other fields: (PEN << 16 | IE) -> values as exported',

    event_start_ns      DateTime64(9, 'UTC') COMMENT 'flow start on the detection clock',
    event_end_ns        DateTime64(9, 'UTC') COMMENT 'flow end on the detection clock',
    src_device          UInt64 COMMENT 'device id, 0 = not a device of the site',
    dst_device          UInt64,
    src_identity        Enum8('none' = 0, 'mac' = 1, 'address' = 2, 'gateway' = 3),
    dst_identity        Enum8('none' = 0, 'mac' = 1, 'address' = 2, 'gateway' = 3),
    initiator           Enum8('unknown' = 0, 'src' = 1, 'dst' = 2),
    initiator_confidence UInt8 COMMENT 'percent',
    scope               Enum8('unknown' = 0, 'lan' = 1, 'wan' = 2, 'multicast' = 3, 'transit' = 4),
    service_port        UInt16 COMMENT 'port of the responder, 0 = unknown',
    conversation        UInt64 COMMENT 'hash of the 5-tuple, equal for both halves',

    name                String ALIAS concat(leftPad(lower(hex(log)), 16, '0'), '-', toString(batch_index), '-', toString(pos))
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(time_received_ns)
ORDER BY (log, batch_index, pos)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;
