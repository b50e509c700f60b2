-- What people, sources of identity, the classifier and the detectors say of some
-- ids, or of all. number is a MAC, or counts open incidents, of which worst is the
-- highest risk.
SELECT device, 'label' AS what, label AS value, changed AS at, toUInt64(0) AS number, toUInt8(0) AS worst
FROM labels FINAL
WHERE site = {site:String} AND label != '' AND ({all:UInt8} = 1 OR device IN {ids:Array})
UNION ALL
SELECT device, concat('fact ', fact), value, changed, 0, 0
FROM device_facts FINAL
WHERE site = {site:String} AND value != '' AND ({all:UInt8} = 1 OR device IN {ids:Array})
UNION ALL
SELECT device, 'told', argMaxIf(name, written, name != ''), max(written), argMax(identity_intervals.mac, written), 0
FROM identity_intervals
WHERE site = {site:String} AND gateway = 0 AND ({all:UInt8} = 1 OR device IN {ids:Array})
    AND mac NOT IN (SELECT mac FROM device_lives WHERE site = {site:String} AND identity = 'gateway' AND mac != 0)
GROUP BY device
UNION ALL
SELECT device, 'decided', toString(kind), decided, 0, 0
FROM kind_decisions FINAL
WHERE site = {site:String} AND kind != '' AND ({all:UInt8} = 1 OR device IN {ids:Array})
UNION ALL
SELECT device, concat('judged ', toString(iot)), toString(kind), classified, 0, 0
FROM kinds FINAL
WHERE site = {site:String} AND ({all:UInt8} = 1 OR device IN {ids:Array})
UNION ALL
SELECT device, 'incidents', '', toDateTime64(0, 3, 'UTC'), count(), max(risk)
FROM incidents FINAL
WHERE site = {site:String} AND state != 'closed' AND ({all:UInt8} = 1 OR device IN {ids:Array})
GROUP BY device
