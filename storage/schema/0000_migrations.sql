-- migrations: which numbered files have been applied to this database. A row is
-- written after the last statement of its file. This file is run every time and
-- is itself not recorded.
CREATE TABLE IF NOT EXISTS migrations
(
    number  UInt32,
    name    String,
    hash    String COMMENT 'SHA-256 of the file, hex',
    applied DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
