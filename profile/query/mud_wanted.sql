-- The MUD profiles that operators attached to devices.
SELECT device, value FROM device_facts FINAL WHERE site = {site:String} AND fact = 'mud' AND value != ''
