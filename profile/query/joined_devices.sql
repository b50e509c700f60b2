(
    SELECT *
    FROM devices
    WHERE devices.device NOT IN (SELECT arrayJoin(joined_ids))
    UNION ALL
    SELECT * REPLACE (transform(devices.device, joined_ids, joined_targets, devices.device) AS device)
    FROM devices
    WHERE devices.device IN (SELECT arrayJoin(joined_ids))
)
