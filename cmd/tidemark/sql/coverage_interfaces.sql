-- Interfaces of exporters in the newest batches: packets of TCP that devices of
-- the site sent into each, and were sent out of it. Only TCP that is more than a SYN
-- tells that there is another direction. Numbers with sFlow's format bits, and its
-- highest, name no interface.
WITH newest AS (SELECT log, max(batch_index) AS last FROM contacts GROUP BY log)
SELECT toString(sampler_address), observation_domain_id, interface, sum(sent), sum(received), uniq(device)
FROM
(
    SELECT sampler_address, observation_domain_id, in_if AS interface, src_device AS device, packets AS sent, 0 AS received
    FROM flows
    WHERE (log, batch_index) IN (SELECT log, arrayJoin(range(toUInt64(last - least(last, toUInt64(100))), last + 1)) FROM newest)
        AND src_device != 0 AND bitTest(presence, 12) AND scope IN ('lan', 'wan') AND proto = 6 AND bitAnd(tcp_flags, 18) != 2
    UNION ALL
    SELECT sampler_address, observation_domain_id, out_if AS interface, dst_device AS device, 0 AS sent, packets AS received
    FROM flows
    WHERE (log, batch_index) IN (SELECT log, arrayJoin(range(toUInt64(last - least(last, toUInt64(100))), last + 1)) FROM newest)
        AND dst_device != 0 AND bitTest(presence, 13) AND scope IN ('lan', 'wan') AND proto = 6 AND bitAnd(tcp_flags, 18) != 2
)
WHERE interface BETWEEN 1 AND 1073741822
GROUP BY sampler_address, observation_domain_id, interface
ORDER BY sampler_address, observation_domain_id, interface
LIMIT 5000
