-- The ids that are kept of devices whose other ids are given.
SELECT device, target FROM device_aliases FINAL WHERE site = {site:String} AND target != device AND device IN {ids:Array}
