(
    SELECT
        {log:UInt64} AS log, toUInt64(1) AS batch_index, received, day, device, role, scope, peer, proto, port, observer, exporter, peer_device, peer_addr, confidence,
        first, last, bytes_out, bytes_in, packets_out, packets_in, flows, samples, syn, failed, refused, CAST([], 'Array(UInt32)') AS starts
    FROM edges
    WHERE day = toDate({day:DateTime64})
)
