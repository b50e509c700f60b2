-- coverage_hours: what each exporter showed of each network of the site by the hour
-- of the event. The scorer makes it of new contacts; a look that is repeated after a
-- crash changes nothing.
CREATE TABLE IF NOT EXISTS coverage_hours
(
    site         LowCardinality(String),
    exporter     IPv6,
    network      IPv6 COMMENT 'first address of the /24 or /64 of the devices; :: = not known',
    t            DateTime('UTC'),
    received     SimpleAggregateFunction(max, Date),
    last         SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'end of the newest flow',
    sent         SimpleAggregateFunction(max, UInt64) COMMENT 'packets that devices sent in TCP sessions, most of one look',
    got          SimpleAggregateFunction(max, UInt64) COMMENT 'packets that they received',
    rate         SimpleAggregateFunction(max, Float64) COMMENT 'packets for each that was sampled, highest of one look',
    devices      SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (site, exporter, network, t)
TTL received + INTERVAL 14 DAY
SETTINGS non_replicated_deduplication_window = 1000;
