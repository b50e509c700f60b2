-- Each device as far as exporters show it in the last days before the newest
-- flow: what it sent, what was sent to it, by whom that was seen, at which
-- sampling rate. Only TCP tells that there is another direction: a SYN in vain or
-- a log sent by UDP needs none. One that has not sent anything may not exist.
WITH
    (SELECT max(day) FROM edges) AS newest,
    seen AS
    (
        SELECT
            device,
            toUInt64(sumIf(samples, proto = 6) * (1 - least(1, sumIf(syn, proto = 6) / greatest(sumIf(edges.flows, proto = 6), 1)))) AS told,
            sumIf(packets_out, proto = 6) AS t_out, sumIf(packets_in, proto = 6) AS t_in,
            sum(packets_out) AS p_out, sum(packets_in) AS p_in,
            toUInt64(round(max((packets_out + packets_in) / greatest(samples, 1)))) AS rate,
            arraySort(arrayMap(e -> toString(e), groupUniqArray(8)(exporter))) AS exporters
        FROM edges
        WHERE day > newest - {days:UInt16} AND scope IN ('lan', 'wan')
        GROUP BY device
    ),
    whose AS
    (
        SELECT device, argMax(identity, devices.last) AS known_by, argMaxIf(mac, devices.flows, identity = 'mac' AND mac != 0) AS own_mac, arraySort(groupUniqArrayArray(4)(addresses)) AS addrs
        FROM devices
        WHERE site = {site:String}
        GROUP BY device
    ),
    met AS
    (
        SELECT peer_device AS device, any(peer_addr) AS addr
        FROM edges
        WHERE day > newest - {days:UInt16} AND peer_device != 0 AND scope = 'lan'
        GROUP BY device
    )
SELECT
    seen.device, toString(any(whose.known_by)), any(whose.own_mac),
    arrayMap(a -> toString(a), arrayFilter(a -> a != toIPv6('::') AND a != toIPv6('::ffff:0.0.0.0'), any(whose.addrs))), toString(any(met.addr)),
    any(p_out), any(p_in), any(t_out), any(t_in), any(told), any(rate), any(exporters)
FROM seen
LEFT JOIN whose ON whose.device = seen.device
LEFT JOIN met ON met.device = seen.device
GROUP BY seen.device
ORDER BY seen.device
LIMIT 200000
