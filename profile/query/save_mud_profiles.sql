INSERT INTO mud_profiles (site, device, kind, profile, file, url, notes, changed)
