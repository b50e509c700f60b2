-- Devices known by address only whose address one device alone had meanwhile, or
-- within seven days: the same one, whose MAC was learned later. An id that an
-- operator has decided about is left alone.
WITH canon AS (SELECT device, target FROM device_aliases FINAL WHERE site = {site:String} AND target != device)
SELECT bare.device, any(i.owner) AS target, any(toString(i.source))
FROM
(
    SELECT device, addr, min(device_lives.first) AS born, max(device_lives.last) AS seen
    FROM device_lives
    ARRAY JOIN addresses AS addr
    WHERE site = {site:String} AND device IN {ids:Array} AND identity IN ('address', 'gateway')
    GROUP BY device, addr
) AS bare
INNER JOIN
(
    SELECT addr, canon.target = 0 ? told.device : canon.target AS owner, source, begun, ended
    FROM
    (
        SELECT addr, device, source, begun, ended
        FROM identity_intervals FINAL
        WHERE site = {site:String} AND gateway = 0
            AND addr IN (SELECT arrayJoin(addresses) FROM device_lives WHERE site = {site:String} AND device IN {ids:Array})
    ) AS told
    LEFT JOIN canon ON canon.device = told.device
) AS i ON i.addr = bare.addr
WHERE i.begun <= seen + toIntervalDay(7) AND i.ended >= born - toIntervalDay(7)
    AND bare.device NOT IN (SELECT device FROM device_aliases FINAL WHERE site = {site:String})
GROUP BY bare.device
HAVING uniqExact(i.owner) = 1 AND target != bare.device
