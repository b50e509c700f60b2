-- The event time reached by the scorer, or the newest flow's if nothing was scored
-- yet: as of then learning and silence are judged.
SELECT max(mark)
FROM (SELECT max(watermark) AS mark FROM score_cursors UNION ALL SELECT max(device_lives.last) FROM device_lives WHERE site = {site:String})
