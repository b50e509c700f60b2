-- The addresses outside the site that new batches name.
SELECT DISTINCT src_device != 0 ? dst_addr : src_addr AS address
FROM flows
WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND scope = 'wan'
