(
    SELECT *
    FROM edges
    WHERE edges.device NOT IN {frozen_devices:Array} OR NOT arrayExists(
        (d, r, p, s, a, low, high, x, y) -> d = edges.device AND r IN ('unknown', toString(edges.role)) AND p IN (0, edges.proto) AND s IN (0, edges.port)
            AND (a = 0 ? low = toIPv6('::') OR edges.peer_addr >= low AND edges.peer_addr <= high : a = edges.peer)
            AND toUnixTimestamp64Milli(edges.first) >= x - 3600000 AND toUnixTimestamp64Milli(edges.last) <= y + 60000,
        {frozen_devices:Array}, {frozen_roles:Array}, {frozen_protos:Array}, {frozen_ports:Array}, {frozen_peers:Array}, {frozen_low:Array}, {frozen_high:Array},
        {frozen_since:Array}, {frozen_until:Array})
)
