-- mud_rules: MUD files (RFC 8520) as they were attached, reduced to whom a device
-- may deal with by which service. Rows of a file never change: another text is
-- another profile.
CREATE TABLE IF NOT EXISTS mud_rules
(
    site         LowCardinality(String),
    profile      UInt64 COMMENT 'first 8 octets of the SHA-256 of the file',
    n            UInt16,
    role         Enum8('any' = 0, 'client' = 1, 'server' = 2) COMMENT 'of the device',
    proto        UInt8 COMMENT '0 = any',
    port_low     UInt16 COMMENT 'of the service',
    port_high    UInt16,
    peer         Enum8('any' = 0, 'local' = 1, 'network' = 2, 'name' = 3, 'same manufacturer' = 4, 'unknown' = 5),
    low          IPv6,
    high         IPv6,
    name         String
)
ENGINE = ReplacingMergeTree
ORDER BY (site, profile, n)
SETTINGS non_replicated_deduplication_window = 1000;

-- mud_profiles: which profile a device (kind empty) or a kind (device 0) has. The
-- last row is in force; profile 0 takes it off.
CREATE TABLE IF NOT EXISTS mud_profiles
(
    site         LowCardinality(String),
    device       UInt64,
    kind         String,
    profile      UInt64,
    file         String,
    url          String COMMENT 'by which its maker names it',
    notes        Array(String) COMMENT 'what of it flows cannot be judged by',
    changed      DateTime64(3, 'UTC') COMMENT 'this machine''s clock'
)
ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, device, kind)
SETTINGS non_replicated_deduplication_window = 1000;
