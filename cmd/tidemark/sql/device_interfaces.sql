-- By which interfaces of which exporters came what a device sent, in the newest
-- 256 batches of each log. Format bits of sFlow's interface numbers are kept: a
-- number with any set names no interface.
WITH newest AS (SELECT log, max(batch_index) AS last FROM contacts GROUP BY log)
SELECT replaceRegexpOne(toString(sampler_address), '^::ffff:', '') AS exporter, observation_domain_id, in_if, sum(packets * greatest(sampling_rate, 1)) AS seen
FROM flows
WHERE (log, batch_index) IN
    (
        SELECT contacts.log, contacts.batch_index
        FROM contacts
        INNER JOIN newest ON newest.log = contacts.log
        WHERE contacts.batch_index + 256 > newest.last AND contacts.device IN {devices:Array(UInt64)}
    )
    AND src_device IN {devices:Array(UInt64)} AND bitTest(presence, 12) AND in_if > 0 AND in_if < 1073741824
GROUP BY sampler_address, observation_domain_id, in_if
ORDER BY seen DESC, exporter, in_if
LIMIT 8
