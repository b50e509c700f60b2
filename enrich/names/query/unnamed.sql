-- Addresses outside the site that devices dealt with in the last days and that
-- have no name, the busiest first.
SELECT replaceRegexpOne(toString(peer_addr), '^::ffff:', '') AS addr
FROM edges
WHERE scope = 'wan' AND day >= (SELECT max(day) - 1 FROM edges) AND peer_addr NOT IN (SELECT addr FROM names WHERE site = {site:String})
GROUP BY peer_addr
ORDER BY sum(edges.flows) DESC
LIMIT {most:UInt32}
