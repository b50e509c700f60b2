-- The kinds of devices: what the rules said, and what people decided.
SELECT
    device, any(r.kind), any(r.iot), any(r.probability), any(r.classified), any(r.since),
    any(d.kind), any(d.actor), any(d.reason), any(d.decided)
FROM
(
    SELECT device, toString(kind) AS kind, toString(iot) AS iot, probability, classified, since FROM kinds FINAL
    WHERE site = {site:String} AND (empty({devices:Array(UInt64)}) OR device IN {devices:Array(UInt64)})
) AS r
FULL OUTER JOIN
(
    SELECT device, toString(kind) AS kind, actor, reason, decided FROM kind_decisions FINAL
    WHERE site = {site:String} AND kind != '' AND (empty({devices:Array(UInt64)}) OR device IN {devices:Array(UInt64)})
) AS d USING (device)
GROUP BY device
