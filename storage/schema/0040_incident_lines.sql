-- incidents: since this version one row is all that is open about a device. What
-- was found are its lines; family, target, expected, observed, flows, query and
-- strength are those of the strongest of them. A row of an earlier version has no
-- lines: it stays as it is until it is closed.
ALTER TABLE incidents
    ADD COLUMN IF NOT EXISTS families Array(String) COMMENT 'of its lines, the strongest first',
    ADD COLUMN IF NOT EXISTS lines Array(Tuple(
        family String, target String, stage String, role String, peer String, proto UInt8, port UInt16,
        since DateTime64(3, 'UTC'), until DateTime64(3, 'UTC'), count UInt64, score UInt8, confidence UInt8,
        expected String, observed String, attack Array(String), flows Array(String), query String,
        notified UInt8, cause String)) COMMENT 'findings of one family about one target',
    ADD COLUMN IF NOT EXISTS also Array(UInt64) COMMENT 'devices with the same, whose incidents point here',
    ADD COLUMN IF NOT EXISTS verdict LowCardinality(String) COMMENT 'what a person said: expected, false positive, malicious',
    ADD COLUMN IF NOT EXISTS told UInt32 COMMENT 'how often people were told',
    ADD COLUMN IF NOT EXISTS told_today UInt16 COMMENT 'on the day of told_at',
    ADD COLUMN IF NOT EXISTS told_at DateTime64(3, 'UTC') COMMENT 'event time at which people were told last',
    ADD COLUMN IF NOT EXISTS told_risk UInt8 COMMENT 'what it was then',
    ADD COLUMN IF NOT EXISTS held DateTime64(3, 'UTC') COMMENT 'since when it waits for the digest; 1970 = it does not';
