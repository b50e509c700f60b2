-- quarantine: batches that `flows` or its views refuse for a reason repeating
-- cannot cure. Same columns, no views; verify reads both.
CREATE TABLE IF NOT EXISTS flows_quarantine AS flows
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(time_received_ns)
ORDER BY (log, batch_index, pos)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- events: leaves of kind 0x05. `body` is the canonical JSON (RFC 8785) and the
-- only thing stored; the rest is read out of it.
CREATE TABLE IF NOT EXISTS events
(
    log         UInt64,
    batch_index UInt64,
    pos         UInt32,
    body        String,
    kind        String ALIAS JSONExtractString(body, 'kind'),
    time        DateTime64(3, 'UTC') ALIAS parseDateTime64BestEffortOrZero(JSONExtractString(body, 'time'), 3, 'UTC'),
    actor       String ALIAS JSONExtractString(body, 'actor')
)
ENGINE = MergeTree
ORDER BY (log, batch_index, pos)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- headers: a copy for queries; the ledger's files are the original.
CREATE TABLE IF NOT EXISTS headers
(
    log          UInt64,
    batch_index  UInt64,
    flags        UInt32,
    first_seq    UInt64,
    row_count    UInt64,
    min_received DateTime64(9, 'UTC'),
    max_received DateTime64(9, 'UTC'),
    sealed       DateTime64(9, 'UTC'),
    row_root     FixedString(32),
    leaf         FixedString(32)
)
ENGINE = MergeTree
ORDER BY (log, batch_index)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;
