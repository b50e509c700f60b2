-- foreign_resolver: a device asks a name server outside the site, past the site's own.
--
-- Malware brings its own resolver, so that no block list of the site applies to it.
--
-- Minimum evidence: min_flows flows with one name server, answers among them, within
-- five minutes; role at least 60 % sure. No learning: it speaks from the first day on.
-- Sampling: questions are small and few; at 1:N it takes about N times as many.
-- Severity 0.60: told alone.
-- ---
-- severity: 0.6
-- stage: control
-- attack: [T1071.004, T1568]
-- runs: 5m
-- target: peer
-- parameters:
--   - {name: min_flows, value: 6, min: 1, max: 10000, means: questions and answers}
-- ---
SELECT
    device, 'client' AS role, peer, toUInt64(0) AS peer_device, any(contacts.peer_addr) AS peer_addr, proto, port,
    min(first) AS since,
    max(last) AS until,
    1. AS strength,
    0.9 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    'names are asked of the resolver of the site' AS expected,
    format('asked <peer>: {} flows, {} back', toString(sum(flows)), formatReadableSize(sum(bytes_in))) AS observed
FROM contacts
WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
    AND contacts.role = 'client' AND scope = 'wan' AND proto IN (6, 17) AND port IN (53, 853) AND contacts.confidence >= 60
GROUP BY device, peer, proto, port
HAVING sum(flows) >= {min_flows:UInt64} AND sum(bytes_in) > 0
