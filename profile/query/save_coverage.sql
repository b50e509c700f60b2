-- What exporters showed in new batches, by network of the devices. A contact counts in
-- each hour from its first flow to its last: a batch that was replayed holds hours.
INSERT INTO coverage_hours (site, exporter, network, t, received, last, sent, got, rate, devices)
SELECT
    {site:String}, exporter, network,
    arrayJoin(arrayMap(h -> toStartOfHour(new.last) - 3600 * h, range(least(24, dateDiff('hour', new.first, new.last)) + 1))) AS t,
    max(new.received), max(least(new.last, toDateTime64(t + 3600, 3, 'UTC'))),
    sumIf(packets_out, proto = 6 AND failed = 0), sumIf(packets_in, proto = 6 AND failed = 0),
    (sum(packets_out) + sum(packets_in)) / greatest(sum(samples), 1), uniqExact(new.device)
FROM contacts AS new
LEFT JOIN
(
    SELECT
        device, arrayElement(arrayFilter(a -> a NOT IN (toIPv6('::'), toIPv6('::ffff:0.0.0.0')), argMax(addresses, device_lives.last)), 1) AS addr,
        tupleElement(IPv6CIDRToRange(addr, bitShiftRight(toUInt128(addr), 32) = 65535 ? 120 : 64), 1) AS network
    FROM device_lives
    WHERE site = {site:String} AND device IN (SELECT device FROM contacts WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64})
    GROUP BY device
) AS lives ON lives.device = new.device
WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND new.scope IN ('lan', 'wan')
GROUP BY exporter, network, t
