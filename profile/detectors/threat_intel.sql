-- threat_intel: a device deals with an address of a list of the operator's.
--
-- Addresses of the new batches outside the site are looked up in the lists before
-- this statement, which gets those that are listed. An attempt of the device counts
-- even without an answer; an attempt against it only if it gave more than a refusal.
--
-- Minimum evidence: one flow; any state of learning. Sampling only delays: one
-- packet proves the contact.
-- Severity 0.85. ATT&CK T1071; ICS T0869.
SELECT
    device, mine ? 'client' : 'server' AS role,
    cityHash64(bitShiftRight(toUInt128(address), bitShiftRight(toUInt128(address), 32) = 65535 ? 8 : 80)) AS peer,
    toUInt64(0) AS peer_device, address AS peer_addr, a_proto AS proto, a_port AS port,
    begun AS since, ended AS until,
    1. AS strength,
    0.95 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    'no dealings with listed addresses' AS expected,
    format('{} <peer> by <service>, which is on the list {}: {} out, {} in', mine ? 'went to' : 'answered',
        {reasons:Array(String)}[indexOf({listed:Array(IPv6)}, address)], formatReadableSize(b_out), formatReadableSize(b_in)) AS observed
FROM
(
    SELECT
        device, address, max(begins) AS mine, argMax(proto, b) AS a_proto, argMax(port, b) AS a_port,
        toDateTime64(min(event_start_ns), 3, 'UTC') AS begun, toDateTime64(max(event_end_ns), 3, 'UTC') AS ended,
        sumIf(b, out) AS b_out, sumIf(b, NOT out) AS b_in
    FROM
    (
        SELECT
            src_device != 0 AS out, out ? src_device : dst_device AS device, out ? dst_addr : src_addr AS address,
            initiator != 'unknown' AND (initiator = 'src') = out AS begins, proto, event_start_ns, event_end_ns,
            service_port = 0 AND proto IN (6, 17, 132) ? least(src_port, dst_port) : service_port AS port,
            toFloat64(bytes) * greatest(sampling_rate, 1) AS b
        FROM flows
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND scope = 'wan'
            AND (src_device != 0 OR dst_device != 0) AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND address IN ({listed:Array(IPv6)})
    )
    GROUP BY device, address
    HAVING mine OR b_out >= 200 AND b_in > 0
)
ORDER BY device, peer_addr
