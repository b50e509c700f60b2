-- containments: plans against a device that a person approved, and what became of
-- them. A row is a version. Each change is also an event of the ledger, written
-- before the row.
CREATE TABLE IF NOT EXISTS containments
(
    site         LowCardinality(String),
    name         String COMMENT 'of the rules in the filter',
    device       UInt64,
    title        String COMMENT 'of the device, as of then',
    alert        String COMMENT 'empty = of the device as such',
    dialect      LowCardinality(String),
    filter       String,
    rules        Array(String) COMMENT 'in words',
    actor        String COMMENT 'who approved it',
    reason       String,
    approved     DateTime64(3, 'UTC'),
    expires      DateTime64(3, 'UTC'),
    state        LowCardinality(String) COMMENT 'by hand, approved, applied, failed, ending, ended',
    attempts     UInt32 COMMENT 'of the hook in this state, that failed',
    next         DateTime64(3, 'UTC') COMMENT 'when the hook is asked again',
    said         String COMMENT 'why the last attempt failed',
    changed      DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, name, approved);
