-- Measures of the traffic of devices. A network is a /24 or /48 outside the site
-- that answered; one that was seen on a single day is new. The hours with
-- traffic are those of the hourly volumes.
WITH
    pairs AS
    (
        SELECT
            device, scope, role, peer,
            uniqExact(day) AS days,
            sum(edges.flows) AS n_flows,
            n_flows > sum(failed) + sum(refused) AS answered,
            sum(samples) AS n_samples,
            sum(bytes_out) AS b_out, sum(bytes_in) AS b_in,
            sum(packets_out) + sum(packets_in) AS p,
            min(edges.first) AS born, max(edges.last) AS seen,
            scope = 'wan' AND role != 'server' AND answered AS outside
        FROM edges
        WHERE device IN {devices:Array(UInt64)}
        GROUP BY device, scope, role, peer
    ),
    spans AS
    (
        SELECT device, uniqExact(day) AS days, uniqExactIf((proto, port), scope = 'wan' AND role = 'client') AS services
        FROM edges
        WHERE device IN {devices:Array(UInt64)}
        GROUP BY device
    ),
    hours AS
    (
        SELECT device, uniqExact(t) AS active
        FROM volumes_1h
        WHERE device IN {devices:Array(UInt64)} AND bytes_out + bytes_in > 0
        GROUP BY device
    )
SELECT
    pairs.device AS device,
    dateDiff('second', min(born), max(seen)) / 3600. AS n_hours,
    toFloat64(sum(n_flows)),
    toFloat64(sum(n_samples)),
    toFloat64(countIf(outside)) AS networks,
    sumIf(pairs.days, outside) / any(spans.days) AS networks_day,
    countIf(outside AND pairs.days = 1) / networks AS new_share,
    arraySum(arraySlice(arrayReverseSort(groupArrayIf(n_flows, outside)), 1, 3)) / sumIf(n_flows, outside) AS top_share,
    toFloat64(any(spans.services)),
    sumIf(b_out, scope = 'wan') / sumIf(b_in, scope = 'wan') AS out_in,
    sumIf(b_out + b_in, scope = 'wan') / greatest(n_hours / 24, 1) AS bytes_day,
    least(1., any(hours.active) / (dateDiff('hour', min(born), max(seen)) + 1)) AS active_hours,
    toFloat64(uniqExactIf(peer, scope = 'lan' AND role = 'client')) AS lan_peers,
    sum(p) / sum(n_samples) AS sampling,
    sumIf(b_out + b_in, scope = 'wan') / sumIf(n_flows, scope = 'wan') AS bytes_flow
FROM pairs
LEFT JOIN spans ON spans.device = pairs.device
LEFT JOIN hours ON hours.device = pairs.device
GROUP BY pairs.device
