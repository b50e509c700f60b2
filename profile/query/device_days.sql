-- On how many days devices were seen, summed over devices, and how many of them
-- were learned.
SELECT count(), countIf(toDateTime(day) >= born + toIntervalSecond({learning:UInt64}))
FROM (SELECT DISTINCT device, toDate(v.t) AS day FROM volumes_1h AS v WHERE v.t >= {since:DateTime64}) AS seen
INNER JOIN (SELECT device, min(devices.first) AS born FROM devices WHERE site = {site:String} GROUP BY device) AS known USING (device)
