-- kinds: what the rules said of a device when it was last classified.
CREATE TABLE IF NOT EXISTS kinds
(
    site         LowCardinality(String),
    device       UInt64,
    classified   DateTime64(3, 'UTC') COMMENT 'event time: of the last flow that was weighed',
    kind         LowCardinality(String) COMMENT 'empty: abstained',
    iot          Enum8('unknown' = 0, 'iot' = 1, 'not iot' = 2),
    probability  Float32 COMMENT 'of the kind, or of iot if there is none',
    since        DateTime64(3, 'UTC') COMMENT 'event time at which this kind was first said without a change since',
    rules        UInt64 COMMENT 'hash of the rules that said it'
)
ENGINE = ReplacingMergeTree(classified)
ORDER BY (site, device)
SETTINGS non_replicated_deduplication_window = 1000;

-- kind_decisions: what people said a device is; it holds against the rules. An
-- empty kind takes the decision back. Each is also an event of the ledger,
-- written before the row.
CREATE TABLE IF NOT EXISTS kind_decisions
(
    site         LowCardinality(String),
    device       UInt64,
    kind         LowCardinality(String),
    actor        String,
    reason       String,
    decided      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(decided)
ORDER BY (site, device);
