-- identity_intervals: which device had which address from when to when, who says
-- so, and how sure that is. A row is only ever made longer. Device 0 and gateway
-- = 1: the address is a router's own.
CREATE TABLE IF NOT EXISTS identity_intervals
(
    site         LowCardinality(String),
    device       UInt64,
    addr         IPv6,
    vrf          UInt32,
    mac          UInt64,
    begun        DateTime64(3, 'UTC') COMMENT '1970: as long as anybody can tell',
    ended        DateTime64(3, 'UTC') COMMENT '2200: it has not',
    source       Enum8('inventory' = 1, 'lease' = 2, 'neighbour' = 3, 'flow' = 4),
    confidence   UInt8 COMMENT 'percent',
    name         String COMMENT 'host name, as the source gives it',
    gateway      UInt8,
    written      DateTime64(3, 'UTC') COMMENT 'this machine''s clock',
    INDEX of_addr addr TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(written)
ORDER BY (site, device, addr, vrf, source, mac, begun)
TTL toDate(written) + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 1000;

-- device_aliases: an id that is another device's, joined at query time. The last
-- row of an id is in force; target = device takes an alias back. Flows keep the
-- id they were stored with.
CREATE TABLE IF NOT EXISTS device_aliases
(
    site         LowCardinality(String),
    device       UInt64,
    target       UInt64,
    source       LowCardinality(String) COMMENT 'operator, or what it was concluded from',
    actor        String,
    reason       String,
    changed      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, device)
SETTINGS non_replicated_deduplication_window = 1000;

-- device_facts: what operators say of a device: approved, retired, kind, owner,
-- zone, criticality, note, mud. The last row of a fact is in force; an empty value
-- takes it back. Each is also an event of the ledger, written before the row.
CREATE TABLE IF NOT EXISTS device_facts
(
    site         LowCardinality(String),
    device       UInt64,
    fact         LowCardinality(String),
    value        String,
    actor        String,
    reason       String,
    changed      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, device, fact)
SETTINGS non_replicated_deduplication_window = 1000;

-- device_lives: devices without the days, so that the catalogue of 100,000 reads
-- a row or two of each. It holds nothing that counts, only first, last and sets:
-- what is entered twice changes nothing.
CREATE TABLE IF NOT EXISTS device_lives
(
    site         LowCardinality(String),
    device       UInt64,
    identity     Enum8('none' = 0, 'mac' = 1, 'address' = 2, 'gateway' = 3),
    mac          UInt64,
    received     SimpleAggregateFunction(max, Date),
    first        SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last         SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    sent         SimpleAggregateFunction(max, UInt64) COMMENT 'most flows sent in one batch and day',
    addresses    SimpleAggregateFunction(groupUniqArrayArray(16), Array(IPv6))
)
ENGINE = AggregatingMergeTree
ORDER BY (site, device, identity, mac)
TTL received + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS device_lives_of_devices TO device_lives AS
SELECT site, device, identity, mac, received, first, last, flows AS sent, addresses FROM devices;

INSERT INTO device_lives (site, device, identity, mac, received, first, last, sent, addresses)
SELECT site, device, identity, mac, max(received), min(devices.first), max(devices.last), max(flows), groupUniqArrayArray(16)(addresses)
FROM devices
GROUP BY site, device, identity, mac;
