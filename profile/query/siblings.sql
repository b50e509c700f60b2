-- How many of some devices deal with a peer, or use or offer a service.
SELECT uniqExact(device)
FROM edges
WHERE device IN {devices:Array} AND toString(role) = {role:String} AND bytes_in > 0
    AND ({port:UInt16} = 0 OR proto = {proto:UInt8} AND port = {port:UInt16})
    AND ({bits:UInt8} = 0 OR peer_addr >= {low:IPv6} AND peer_addr <= {high:IPv6})
