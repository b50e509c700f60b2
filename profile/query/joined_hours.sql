(
    SELECT *
    FROM volumes_1h
    WHERE volumes_1h.device NOT IN (SELECT arrayJoin(joined_ids))
    UNION ALL
    SELECT * REPLACE (transform(volumes_1h.device, joined_ids, joined_targets, volumes_1h.device) AS device)
    FROM volumes_1h
    WHERE volumes_1h.device IN (SELECT arrayJoin(joined_ids))
)
