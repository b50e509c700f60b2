-- device_alias_log: every row that device_aliases ever got, so that a changed
-- mind about who is who can be explained.
CREATE TABLE IF NOT EXISTS device_alias_log
(
    site         LowCardinality(String),
    device       UInt64,
    target       UInt64,
    source       LowCardinality(String),
    actor        String,
    reason       String,
    changed      DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (site, device, changed)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE MATERIALIZED VIEW IF NOT EXISTS device_alias_log_of_aliases TO device_alias_log AS
SELECT site, device, target, source, actor, reason, changed FROM device_aliases;

INSERT INTO device_alias_log (site, device, target, source, actor, reason, changed)
SELECT site, device, target, source, actor, reason, changed FROM device_aliases;
