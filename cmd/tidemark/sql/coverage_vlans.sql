-- VLANs of the newest batches by exporter: packets that devices of the site sent
-- and were sent in each.
SELECT vlan, toString(sampler_address), sum(out), sum(in), uniq(device)
FROM
(
    SELECT sampler_address, src_vlan AS vlan, src_device AS device, packets AS out, 0 AS in
    FROM flows
    WHERE (log, batch_index) IN (SELECT log, arrayJoin(range(toUInt64(newest - least(newest, toUInt64(100))), newest + 1)) FROM (SELECT log, max(batch_index) AS newest FROM contacts GROUP BY log))
        AND src_device != 0 AND bitTest(presence, 10) AND scope IN ('lan', 'wan')
    UNION ALL
    SELECT sampler_address, bitTest(presence, 11) ? dst_vlan : src_vlan AS vlan, dst_device AS device, 0 AS out, packets AS in
    FROM flows
    WHERE (log, batch_index) IN (SELECT log, arrayJoin(range(toUInt64(newest - least(newest, toUInt64(100))), newest + 1)) FROM (SELECT log, max(batch_index) AS newest FROM contacts GROUP BY log))
        AND dst_device != 0 AND bitAnd(presence, 3072) != 0 AND scope IN ('lan', 'wan')
)
GROUP BY vlan, sampler_address
ORDER BY vlan, sampler_address
LIMIT 5000
