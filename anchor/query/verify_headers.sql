-- The copy of headers [?, ?] of a log.
SELECT batch_index, flags, first_seq, row_count, toUnixTimestamp64Nano(min_received), toUnixTimestamp64Nano(max_received),
       toUnixTimestamp64Nano(sealed), hex(row_root), hex(leaf)
FROM headers
WHERE log = ? AND batch_index >= ? AND batch_index <= ?
ORDER BY batch_index
LIMIT ?
