-- Addresses that names led to.
SELECT addr, name
FROM names
WHERE site = {site:String} AND name IN {names:Array(String)} AND source != 'mdns'
GROUP BY addr, name
ORDER BY addr, name
LIMIT 10000
