-- What a site has that needs a part of device_ids.sql, and as of when its devices
-- are judged.
SELECT
    (SELECT max(mark) FROM (SELECT max(watermark) AS mark FROM score_cursors UNION ALL SELECT max(device_lives.last) FROM device_lives WHERE site = {site:String})) AS as_of,
    (SELECT count() > 0 FROM device_lives WHERE site = {site:String} AND identity != 'mac') AS bare,
    (SELECT count() > 0 FROM device_aliases FINAL WHERE site = {site:String} AND target != device) AS aliases,
    (SELECT count() > 0 FROM identity_intervals WHERE site = {site:String} AND gateway = 1) AS routers
