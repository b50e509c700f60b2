(
    SELECT *
    FROM volumes_1h
    WHERE volumes_1h.device NOT IN {frozen_devices:Array} OR NOT arrayExists(
        (d, x, y) -> d = volumes_1h.device AND toUnixTimestamp(volumes_1h.t) * 1000 > x - 3600000 AND toUnixTimestamp(volumes_1h.t) * 1000 <= y,
        {frozen_devices:Array}, {frozen_opened:Array}, {frozen_changed:Array})
)
