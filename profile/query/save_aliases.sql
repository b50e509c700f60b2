INSERT INTO device_aliases (site, device, target, source, actor, reason, changed)
