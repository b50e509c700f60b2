-- exfiltration: a learned device sends far more to peers outside that are new to
-- it than it ever sent to a new one.
--
-- Octets of the last day to peers outside whose first contact was within it,
-- those that got more than they gave; at least 1 MB, five times the most it sent
-- on the first day of any earlier peer that did not become a habit (seen on two
-- days at most), and half of what it uploads on a usual day; on top of the usual: in
-- the last 24 hours it uploaded 1.4 times as much, else its cloud moved.
--
-- Minimum evidence: device learned; not failed. Sampled flows are scaled; 30 samples.
-- Severity 0.70. ATT&CK T1048, T1041; ICS T0882.
WITH
    touched AS
    (
        SELECT device, max(contacts.last) AS upto
        FROM contacts
        WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} AND ({device:UInt64} = 0 OR device = {device:UInt64})
            AND scope = 'wan' AND bytes_out > bytes_in
        GROUP BY device
    ),
    ages AS
    (
        SELECT device, min(devices.first) + toIntervalSecond({learning:UInt64}) AS learned
        FROM devices
        WHERE site = {site:String} AND device IN (SELECT device FROM touched)
        GROUP BY device
    ),
    days AS
    (
        SELECT
            device, peer, day, max(o_out) AS b_out, argMax(o_in, o_out) AS b_in, max(o_samples) AS n_samples,
            min(o_begun) AS begun, max(o_seen) AS seen, any(o_other) AS other, any(o_address) AS address, any(o_proto) AS a_proto, any(o_port) AS a_port
        FROM
        (
            SELECT
                device, peer, day, observer, sum(bytes_out) AS o_out, sum(bytes_in) AS o_in, sum(samples) AS o_samples, min(edges.first) AS o_begun, max(edges.last) AS o_seen,
                any(edges.peer_device) AS o_other, any(edges.peer_addr) AS o_address, argMax(edges.proto, bytes_out) AS o_proto, argMax(edges.port, bytes_out) AS o_port
            FROM edges
            WHERE device IN (SELECT device FROM touched) AND scope = 'wan'
            GROUP BY device, peer, day, observer
        )
        GROUP BY device, peer, day
    ),
    peers AS
    (
        SELECT
            device, peer, min(days.begun) AS begun, max(days.seen) AS seen, argMin(days.b_out, day) AS first_out, count() AS n_days, sum(days.b_out) AS b_out, sum(days.b_in) AS b_in, sum(n_samples) AS samples,
            any(other) AS other, any(address) AS address, argMax(a_proto, days.b_out) AS a_proto, argMax(a_port, days.b_out) AS a_port
        FROM days
        GROUP BY device, peer
    ),
    usual AS
    (
        SELECT device, medianExact(up) AS upload
        FROM (SELECT device, day, sum(days.b_out) AS up FROM days INNER JOIN touched USING (device) WHERE day < toDate(touched.upto) GROUP BY device, day)
        GROUP BY device
    ),
    lately AS
    (
        SELECT device, max(up) AS last_day
        FROM
        (
            SELECT device, observer, sum(bytes_out) AS up
            FROM volumes_1h AS v
            INNER JOIN touched USING (device)
            WHERE device IN (SELECT device FROM touched) AND scope = 'wan' AND v.t > touched.upto - toIntervalDay(1) AND v.t <= touched.upto
            GROUP BY device, observer
        )
        GROUP BY device
    ),
    judged AS
    (
        SELECT
            device, any(upto) AS until_at, any(upload) AS upload, any(last_day) AS total,
            sumIf(b_out, is_new) AS x, sumIf(b_in, is_new) AS x_in, sumIf(samples, is_new) AS n_samples, countIf(is_new) AS n_peers, minIf(begun, is_new) AS since_at,
            maxIf(first_out, n_days <= 2 AND begun <= upto - toIntervalDay(1)) AS most,
            argMaxIf(peer, b_out, is_new) AS a_peer, argMaxIf(address, b_out, is_new) AS an_address, argMaxIf(a_proto, b_out, is_new) AS proto_of, argMaxIf(a_port, b_out, is_new) AS port_of
        FROM
        (
            SELECT *, begun >= learned AND begun > upto - toIntervalDay(1) AND b_out > b_in AS is_new
            FROM peers
            INNER JOIN touched USING (device)
            INNER JOIN ages USING (device)
            LEFT JOIN usual USING (device)
            LEFT JOIN lately USING (device)
        )
        GROUP BY device
    )
SELECT
    device, 'client' AS role, n_peers = 1 ? a_peer : 0 AS peer, toUInt64(0) AS peer_device, an_address AS peer_addr, proto_of AS proto, port_of AS port,
    since_at AS since, until_at AS until,
    least(1, 0.6 + 0.4 * log10(x / threshold)) AS strength,
    n_samples < 100 ? 0.8 : 0.95 AS confidence,
    toFloat64({severity:Float64}) AS severity,
    format('at most {} to a new peer outside, {} of upload on a usual day', formatReadableSize(most), formatReadableSize(upload)) AS expected,
    format('{} sent to {} within a day, {} back', formatReadableSize(x), n_peers = 1 ? '<peer>, a new peer' : toString(n_peers) || ' new peers', formatReadableSize(x_in)) AS observed
FROM (SELECT *, greatest({min_bytes:UInt64}, 5 * most, intDiv(upload, 2)) AS threshold FROM judged)
WHERE n_peers > 0 AND x >= threshold AND n_samples >= 30 AND total >= 1.4 * upload
ORDER BY device
