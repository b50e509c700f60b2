-- exclusions: findings that people do not want to be alerts, narrowly and for a
-- time. A row is a version. Each change is also an event of the ledger, written
-- before the row.
CREATE TABLE IF NOT EXISTS exclusions
(
    site         LowCardinality(String),
    id           UInt64,
    device       UInt64 COMMENT '0 = any',
    kind         String COMMENT 'of device; empty = any',
    family       String COMMENT 'empty = any',
    peer         String COMMENT 'a device id, an address or a network; empty = any',
    proto        UInt8 COMMENT '0 = any',
    port         UInt16 COMMENT '0 = any',
    hours        String COMMENT 'of the day, UTC, such as 22-6; empty = all',
    hard         UInt8 COMMENT 'families that are attacks by themselves too',
    actor        String,
    reason       String,
    created      DateTime64(3, 'UTC'),
    expires      DateTime64(3, 'UTC'),
    removed      UInt8,
    changed      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, id);

-- exclusion_hits: how many findings each has hidden.
CREATE TABLE IF NOT EXISTS exclusion_hits
(
    site         LowCardinality(String),
    id           UInt64,
    hits         SimpleAggregateFunction(sum, UInt64),
    last         SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (site, id);
