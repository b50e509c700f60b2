-- score_cursors: up to which batch of a log the detectors of a pace have looked.
CREATE TABLE IF NOT EXISTS score_cursors
(
    log          UInt64,
    pace         LowCardinality(String),
    batch_index  UInt64,
    watermark    DateTime64(3, 'UTC') COMMENT 'event time reached'
)
ENGINE = ReplacingMergeTree(batch_index)
ORDER BY (log, pace);

-- incidents: findings of one kind about one device and one target. A row is a
-- version; the highest is in force. Each change of state or risk is also an
-- event of the ledger, written before the row.
CREATE TABLE IF NOT EXISTS incidents
(
    id           UInt64,
    version      UInt32,
    site         LowCardinality(String),
    device       UInt64,
    family       LowCardinality(String),
    target       String COMMENT 'peer, service or "many"',
    state        Enum8('open' = 1, 'updated' = 2, 'acknowledged' = 3, 'closed' = 4),
    opened       DateTime64(3, 'UTC') COMMENT 'first finding, detection clock',
    changed      DateTime64(3, 'UTC') COMMENT 'last finding',
    findings     UInt64,
    risk         UInt8,
    strength     Float64 COMMENT 'of its family, before others of the device are joined',
    notify       UInt8,
    terms        Array(Tuple(name String, value Int32)) COMMENT 'what the risk is made of',
    expected     String,
    observed     String,
    text         String COMMENT 'one line for people',
    attack       Array(String) COMMENT 'MITRE ATT&CK ids',
    flows        Array(String) COMMENT 'names of up to 20 of the flows',
    query        String COMMENT 'the statement that found it, parameters bound',
    actor        String,
    reason       String
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 1000;

-- labels: what people call a device.
CREATE TABLE IF NOT EXISTS labels
(
    site         LowCardinality(String),
    device       UInt64,
    label        String,
    actor        String,
    changed      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, device);
