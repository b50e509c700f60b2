-- When each edge of some devices began.
SELECT device, toUInt8(role), peer, proto, port, min(edges.first)
FROM edges
WHERE device IN {devices:Array} AND scope IN ('lan', 'wan')
GROUP BY device, role, peer, proto, port
