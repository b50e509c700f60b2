-- Devices with a random (locally administered) MAC and a host name that another
-- such device had too, oldest first, with the time each was alive.
SELECT i.name, groupArray((l.device, l.born, l.seen, l.device IN (SELECT device FROM device_aliases FINAL WHERE site = {site:String}))) AS list
FROM
(
    SELECT DISTINCT name, device
    FROM identity_intervals FINAL
    WHERE site = {site:String} AND gateway = 0 AND name != '' AND bitTest(mac, 41)
        AND name IN (SELECT name FROM identity_intervals WHERE site = {site:String} AND device IN {ids:Array} AND name != '')
) AS i
INNER JOIN
(
    SELECT device, min(device_lives.first) AS born, max(device_lives.last) AS seen
    FROM device_lives
    WHERE site = {site:String}
    GROUP BY device
    ORDER BY born
) AS l ON l.device = i.device
WHERE i.device NOT IN (SELECT device FROM device_aliases FINAL WHERE site = {site:String} AND source = 'operator')
GROUP BY i.name
HAVING length(list) > 1
