-- Who has an open line of one of some families about one of some targets, of the
-- day before: the incident that had it first, and every device.
SELECT l.family AS of, l.target AS about, argMin(id, l.since), argMin(device, l.since), groupUniqArray(64)(device)
FROM incidents FINAL
ARRAY JOIN lines AS l
WHERE site = {site:String} AND state != 'closed' AND l.until >= {since:DateTime64} AND l.cause = ''
    AND has({families:Array}, l.family) AND has({targets:Array}, l.target)
GROUP BY of, about
