-- new_destination: a learned device deals with a peer it never dealt with.
-- Peers outside the site are networks (/24, /48), those inside are devices.
--
-- Strength = weight * (1 - min(1, 20 * P_new)), where P_new = (f1 + 0.5) / (n + 1)
-- is the Good-Turing chance that a peer-day is a new peer: n peer-days of the 28
-- days before, f1 peers seen on one day only. A device whose peers always change
-- discounts itself; so does a young baseline.
-- weight: 0.7; 0.2 if the device knows another peer of the same /16 (/32); 0.15
-- if another device has known the peer for half a learning period; +0.2 if the
-- service is new to the device as well.
--
-- Telling alone (severity 0.75, weight 0.9): the device has at most {few} peers and
-- found no new one since its first two days, so P_new = 0.1 / (n + 10), drawn towards
-- the 1 % of things that know their cloud; the peer is outside, in no /12 (/32) of
-- its clouds, no mere download (over 1 MB, 20 times what was sent), met by few devices
-- before ({few} / 3) and by none half a learning period ago; and its cloud did not move:
-- of those outside whom the device meets by this service somebody usual is still met, as
-- is each /12 that was met in the 6 hours before, in the day before if it usually is. Of
-- more than 1 MB sent that is not asked if none of them was sent five times what came back.
-- If peers change, the services it uses, or the /12 its peers are in, take their place.
--
-- Minimum evidence: device learned; 4 kB or 4 flows; not all attempts failed;
-- strength 0.35. A peer is new for one day, in which it is judged again every five
-- minutes in which the device does something: who is still met is known later.
-- NTP is left out: pools rotate.
-- Severity 0.45. ATT&CK T1071, T1568; ICS T0869, T0885.
WITH
    (
        SELECT (min(contacts.first), max(contacts.last)) FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
            AND role IN ('client', 'unknown') AND scope IN ('lan', 'wan') AND ({device:UInt64} = 0 OR device = {device:UInt64})
    ) AS span,
    touched AS
    (
        SELECT device, peer, min(contacts.first) AS since
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
            AND role IN ('client', 'unknown') AND scope IN ('lan', 'wan') AND ({device:UInt64} = 0 OR device = {device:UInt64})
        GROUP BY device, peer
    ),
    ages AS
    (
        SELECT device, min(devices.first) AS born, born + toIntervalSecond({learning:UInt64}) AS learned
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched)
        GROUP BY device
        HAVING learned <= span.2
    ),
    news AS -- who of the learned met whom for the first time: as of the others the long past need not be read
    (
        SELECT device, peer
        FROM edges
        WHERE device IN (SELECT device FROM ages) AND role IN ('client', 'unknown') AND scope IN ('lan', 'wan') AND NOT (edges.proto = 17 AND edges.port = 123)
        GROUP BY device, peer
        HAVING min(edges.first) > span.1 - toIntervalDay(1)
    ),
    peers AS
    (
        SELECT
            device, peer, min(edges.first) AS begun, max(edges.last) AS seen, groupUniqArray(day) AS days,
            anyLast(peer_device) AS other, anyLast(peer_addr) AS address, max(edges.confidence) AS sure,
            argMin(edges.proto, edges.first) AS proto, argMin(edges.port, edges.first) AS port, groupUniqArray(16)((edges.proto, edges.port)) AS ports,
            bitShiftRight(toUInt128(address), bitShiftRight(toUInt128(address), 32) = 65535 ? 16 : 96) AS net,
            bitShiftRight(toUInt128(address), bitShiftRight(toUInt128(address), 32) = 65535 ? 20 : 96) AS cloud,
            sum(bytes_out) AS b_out, sum(bytes_in) AS b_in, sum(flows) AS n_flows, sum(failed) AS n_failed
        FROM edges
        WHERE device IN (SELECT device FROM news) AND role IN ('client', 'unknown') AND scope IN ('lan', 'wan') AND NOT (edges.proto = 17 AND edges.port = 123)
        GROUP BY device, peer
    ),
    fresh AS
    (
        SELECT *, (device, peer) IN (SELECT device, peer FROM touched) AS met_now
        FROM (SELECT *, count() OVER (PARTITION BY device) AS n_peers FROM peers) AS p
        INNER JOIN ages USING (device)
        INNER JOIN (SELECT device, min(since) AS since FROM touched GROUP BY device) AS t USING (device)
        WHERE begun >= learned AND since < begun + toIntervalDay(1) AND (met_now OR other = 0 AND n_peers <= 400)
            AND (b_out + b_in >= {min_bytes:UInt64} OR n_flows >= {min_flows:UInt64}) AND n_failed * 2 < n_flows
        ORDER BY met_now DESC, begun DESC
        LIMIT 200 BY device -- who shares files has thousands, and each is compared with all
    ),
    known AS -- of more than 400 about a hundred: they are held for each new peer, and P_new is a share
    (
        SELECT device, groupArray((begun, days, net, ports, seen, cloud, other = 0, b_out >= 5 * b_in)) AS list
        FROM (SELECT *, count() OVER (PARTITION BY device) AS n FROM peers)
        WHERE n <= 400 OR cityHash64(peer) % n < 100
        GROUP BY device
    ),
    services AS
    (
        SELECT device, groupArray((proto, port, begun, days)) AS used
        FROM
        (
            SELECT device, proto, port, min(edges.first) AS begun, groupUniqArray(day) AS days
            FROM edges
            WHERE device IN (SELECT device FROM news) AND role IN ('client', 'unknown') AND scope IN ('lan', 'wan')
            GROUP BY device, proto, port
        )
        GROUP BY device
    ),
    elsewhere AS
    (
        SELECT peer, groupArraySorted(64)((begun, device)) AS users -- the first, as a whole fleet may come
        FROM
        (
            SELECT peer, device, min(edges.first) AS begun
            FROM edges
            WHERE peer IN (SELECT peer FROM news) AND role IN ('client', 'unknown')
            GROUP BY peer, device
        )
        GROUP BY peer
    ),
    -- One step each of what the next names often: the engine writes an alias out wherever it stands.
    compared AS
    (
        SELECT
            fresh.device AS device, fresh.peer AS peer, fresh.met_now AS met_now, fresh.begun AS begun, fresh.seen AS seen, fresh.n_peers AS n_peers, fresh.other AS other, fresh.address AS address,
            fresh.proto AS proto, fresh.port AS port, fresh.net AS net, fresh.cloud AS cloud, fresh.b_out AS b_out, fresh.b_in AS b_in, fresh.born AS born,
            arrayFilter(x -> x.1 < begun, list) AS before,
            arrayExists(x -> x.2 != device AND x.1 < begun - toIntervalSecond(intDiv({learning:UInt64}, 2)), users) AS shared,
            arrayCount(x -> x.2 != device AND x.1 < begun, users) AS n_users,
            arrayFilter(x -> x.3 < begun, used) AS services_before,
            b_in >= 1000000 AND b_in >= 20 * b_out AS download
        FROM fresh
        INNER JOIN known USING (device)
        INNER JOIN services USING (device)
        LEFT JOIN elsewhere USING (peer)
    ),
    counted AS
    (
        SELECT
            *,
            length(arrayDistinct(arrayFlatten(arrayMap(x -> x.2, before)))) AS n_days,
            arrayMap(x -> arrayCount(d -> d <= toDate(begun) AND d > toDate(begun) - 28, x.2), before) AS day_counts,
            arrayMap(x -> arrayCount(d -> d <= toDate(begun) AND d > toDate(begun) - 28, x.4), services_before) AS service_days,
            NOT arrayExists(x -> x.1 = proto AND x.2 = port, services_before) AS new_port,
            arrayExists(x -> x.3 = net, before) AND other = 0 AS near,
            other = 0 AND n_peers <= 400 AND NOT arrayExists(x -> x.7 AND x.6 = cloud, before) AND NOT download
                AND NOT shared AND n_users < {few:UInt64} / 3 AS strange,
            strange ? arrayFilter(x -> x.7, before) : [] AS outside -- what is compared with itself takes memory by the square, so of few
        FROM compared
    ),
    met AS
    (
        SELECT
            *,
            arraySum(day_counts) AS peer_days,
            arrayCount((x, n) -> n = 1 AND x.1 >= born + toIntervalDay(2), before, day_counts) = 0 AND length(before) <= {few:UInt64} AS by_peer,
            new_port AND length(services_before) <= {few:UInt64} AND arrayCount((x, n) -> n = 1 AND x.3 >= born + toIntervalDay(2), services_before, service_days) = 0 AS by_service,
            arrayMap(c -> arrayDistinct(arrayFlatten(arrayMap(x -> x.2, arrayFilter(x -> x.6 = c, outside)))), arrayDistinct(arrayMap(x -> x.6, outside))) AS clouds, -- days of each
            arrayFilter(x -> has(x.4, (proto, port)), outside) AS same -- known by this service
        FROM counted
    ),
    served AS
    (
        SELECT
            *,
            arrayMap(c -> arrayFilter(x -> x.6 = c, same), arrayDistinct(arrayMap(x -> x.6, same))) AS same_clouds,
            arrayMap(c -> (length(arrayDistinct(arrayFlatten(arrayMap(x -> x.2, c)))), arrayMax(arrayMap(x -> x.5, c))), same_clouds) AS servants, -- days of each and when last
            b_out >= 1000000 AND b_out >= 20 * b_in AND NOT arrayExists(x -> x.8, same) AS upload, -- as it never sent by this service
            length(clouds) <= {few:UInt64} AND NOT arrayExists(d -> length(d) = 1 AND d[1] >= toDate(born) + 2, clouds) AS by_cloud
        FROM met
    ),
    judged AS
    (
        SELECT
            *,
            strange AND (by_peer OR by_service OR by_cloud)
                AND (upload OR empty(servants) OR arrayExists(s -> 2 * s.1 >= n_days AND s.2 > begun + toIntervalMinute(1), servants)
                    AND arrayAll(s -> s.2 > begun + toIntervalMinute(1) OR s.2 < begun - toIntervalHour(2 * s.1 < n_days ? 6 : 24), servants)) AS alone,
            multiIf(NOT alone, (arrayCount(n -> n = 1, day_counts) + 0.5) / (peer_days + 1),
                0.1 / (multiIf(by_peer, peer_days, by_service, arraySum(service_days), arraySum(arrayMap(d -> length(d), clouds))) + 10)) AS p_new,
            least(1, multiIf(alone, 0.9, shared, 0.15, near, 0.2, 0.7) + (new_port ? 0.2 : 0)) * (1 - least(1, 20 * p_new)) AS novelty
        FROM served
    )
SELECT
    device, 'client' AS role, peer, other AS peer_device, address AS peer_addr, proto, port,
    begun AS since, least(seen, begun + toIntervalDay(1)) AS until,
    novelty AS strength,
    0.9 AS confidence,
    alone ? 0.75 : toFloat64({severity:Float64}) AS severity,
    format('{} (chance of a new one {} %)', multiIf(NOT alone OR by_peer, format('only its {} known peers', toString(n_peers > 400 ? n_peers - 1 : length(before))),
        by_service, format('new peers only by the {} services it uses', toString(length(services_before))),
        format('new peers only in the {} networks of clouds (/12) it knows', toString(length(clouds)))), toString(round(100 * p_new, 1))) AS expected,
    format('first contact with <peer> by <service>{}: {} out, {} in', new_port ? ', a service new to it too' : '', formatReadableSize(b_out), formatReadableSize(b_in)) AS observed
FROM judged
WHERE novelty >= {min_strength:Float64} AND (met_now OR alone)
ORDER BY device, peer
