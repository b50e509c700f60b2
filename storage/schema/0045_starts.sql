-- When flows of a device to a peer outside began, in seconds since 1970: at most 64
-- of a contact. A beat is found in them.
ALTER TABLE contacts ADD COLUMN IF NOT EXISTS starts Array(UInt32) COMMENT 'of flows sent outside, not as a server; 64 at most' CODEC(ZSTD(1));
