-- The MUD profiles in force, of devices and of kinds.
SELECT device, kind, profile, file, url, notes FROM mud_profiles FINAL WHERE site = {site:String} AND profile != 0
