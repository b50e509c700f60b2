-- Batches of a log that hold flows of a device.
SELECT DISTINCT batch_index FROM flows WHERE log = {log:UInt64} AND (src_device = {device:UInt64} OR dst_device = {device:UInt64})
UNION DISTINCT
SELECT DISTINCT batch_index FROM flows_quarantine WHERE log = {log:UInt64} AND (src_device = {device:UInt64} OR dst_device = {device:UInt64})
