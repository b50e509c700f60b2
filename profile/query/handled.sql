-- Which ids people approved (0) or retired (1).
SELECT device, CAST(fact = 'retired', 'UInt8') FROM device_facts FINAL WHERE site = {site:String} AND fact IN ('approved', 'retired') AND value != ''
