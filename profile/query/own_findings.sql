SELECT
    device, toString(role) AS role, peer, peer_device, peer_addr, proto, port,
    toDateTime64(since, 3, 'UTC') AS since, toDateTime64(until, 3, 'UTC') AS until,
    toFloat64(strength) AS strength, toFloat64(confidence) AS confidence, toFloat64(severity) AS severity, expected, observed
FROM
(
STATEMENT
)
WHERE {device:UInt64} = 0 OR device = {device:UInt64}
ORDER BY device, role, peer, proto, port, since
LIMIT 1001
