-- A batch is one part of flows; it is written compact (one file instead of a
-- hundred) and merged with tens of others at once instead of by fives: a row is
-- rewritten half as often. Positions count upwards; conversations are hashes,
-- which LZ4 cannot shorten.
ALTER TABLE flows
    MODIFY SETTING min_bytes_for_wide_part = 134217728, min_parts_to_merge_at_once = 32, merge_selector_base = 10;

ALTER TABLE flows
    MODIFY COLUMN pos CODEC(Delta(4), LZ4),
    MODIFY COLUMN conversation CODEC(NONE);
