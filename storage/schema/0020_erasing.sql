-- erasing: leaves whose rows are about to be deleted by an erasure, and nothing
-- else: a list for one statement, emptied when it is done.
CREATE TABLE IF NOT EXISTS erasing
(
    log         UInt64,
    batch_index UInt64,
    pos         UInt32
)
ENGINE = MergeTree
ORDER BY (log, batch_index, pos);
