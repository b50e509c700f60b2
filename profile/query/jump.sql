-- Of the exporters heard in the last ten minutes to an hour (600 batches): how many have a
-- clock that is not more than a day beyond a time, and the newest they show.
SELECT countIf(at <= {mark:DateTime64} + toIntervalDay(1)), toDateTime64(maxIf(at, at <= {mark:DateTime64} + toIntervalDay(1)), 3, 'UTC')
FROM
(
    SELECT exporter, max(contacts.last) AS at
    FROM contacts
    WHERE log = {log:UInt64} AND batch_index + 600 > {upto:UInt64} AND batch_index <= {upto:UInt64}
    GROUP BY exporter
)
