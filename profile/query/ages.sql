-- How old devices are when new batches come: whether they touched one that is not only
-- learned any more, and one that was here for less than {settling} seconds; and whether
-- for one of the site a time of learning ended meanwhile, as detectors/drift.sql has it.
WITH
    (
        SELECT (min(contacts.first), max(contacts.last)) FROM contacts WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
    ) AS span
SELECT
    countIf(here AND at >= learned - toIntervalHour(1)) > 0, -- some detectors count from the hour
    countIf(here AND since < born + toIntervalSecond({settling:UInt64})) > 0,
    countIf(third > span.1 AND third <= span.2 OR learned > span.1 AND learned <= span.2) > 0
FROM
(
    SELECT device, min(devices.first) AS born, born + toIntervalDay(3) AS third, born + toIntervalSecond({learning:UInt64}) AS learned
    FROM devices
    WHERE site = {site:String}
    GROUP BY device
) AS known
LEFT JOIN
(
    SELECT device, 1 AS here, min(contacts.first) AS since, max(contacts.last) AS at
    FROM contacts
    WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64}
    GROUP BY device
) AS new USING (device)
