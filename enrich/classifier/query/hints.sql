-- What stations said of themselves or asked for: by MAC, or by address for those
-- without one.
SELECT mac, addr, toString(hint), value, toString(source), min(hints.first), max(hints.last), sum(seen)
FROM hints
WHERE site = {site:String} AND (mac IN {macs:Array(UInt64)} AND mac != 0 OR addr IN {addrs:Array(IPv6)})
GROUP BY mac, addr, hint, value, source
ORDER BY sum(seen) DESC
LIMIT 200 BY mac, addr, hint
