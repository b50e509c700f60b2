-- names: which names an address had, read from DNS answers, TLS, HTTP and mDNS in
-- sampled headers, or asked of DNS where that is switched on.
CREATE TABLE IF NOT EXISTS names
(
    site         LowCardinality(String),
    addr         IPv6,
    name         String,
    source       Enum8('dns' = 1, 'tls' = 2, 'http' = 3, 'mdns' = 4, 'dhcp' = 5, 'ssdp' = 6, 'netbios' = 7, 'llmnr' = 8, 'reverse' = 9),
    received     Date COMMENT 'day of receipt',
    first        SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last         SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    seen         SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (site, addr, name, source, received)
TTL received + INTERVAL 180 DAY;

-- hints: what a station said of itself, or asked for. A device known by its MAC
-- owns the rows with that MAC; one known by its address those with the address.
CREATE TABLE IF NOT EXISTS hints
(
    site         LowCardinality(String),
    mac          UInt64 COMMENT '0 if the export has none',
    addr         IPv6 COMMENT 'of the station then; :: before it has one',
    hint         Enum8('domain' = 1, 'hostname' = 2, 'vendor_info' = 3, 'discovery' = 4, 'dhcp_options' = 5),
    value        String,
    source       Enum8('dns' = 1, 'tls' = 2, 'http' = 3, 'mdns' = 4, 'dhcp' = 5, 'ssdp' = 6, 'netbios' = 7, 'llmnr' = 8, 'reverse' = 9),
    received     Date COMMENT 'day of receipt',
    first        SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last         SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    seen         SimpleAggregateFunction(sum, UInt64),
    INDEX of_addr addr TYPE bloom_filter GRANULARITY 4
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(received)
ORDER BY (site, mac, addr, hint, value, source, received)
TTL received + INTERVAL 180 DAY;
