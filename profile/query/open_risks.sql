-- The highest risk of the open incidents of each id.
SELECT device, toUInt8(max(risk)) FROM incidents FINAL WHERE site = {site:String} AND state != 'closed' GROUP BY device
