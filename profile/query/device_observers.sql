-- Who saw how much of a device in its last seven days: the observer (exporter and
-- flow direction) of most packets is its home.
SELECT toString(any(exporter)) AS seen_by, sum(packets_out) + sum(packets_in) AS packets, max(v.t) + toIntervalHour(1) AS until
FROM volumes_1h AS v
WHERE device IN {ids:Array} AND v.t >= {from:DateTime64}
GROUP BY observer
ORDER BY packets DESC
LIMIT 16
