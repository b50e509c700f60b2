-- The name seen last for each of some addresses.
SELECT addr, argMax(name, names.last)
FROM names
WHERE site = {site:String} AND addr IN {addresses:Array} AND source IN ('dns', 'tls', 'http', 'reverse')
GROUP BY addr
