-- The exclusions that nobody removed, with what they have hidden.
SELECT
    e.id, e.device, e.kind, e.family, e.peer, e.proto, e.port, e.hours, e.hard, e.actor, e.reason, e.created, e.expires, h.n, h.at
FROM (SELECT * FROM exclusions FINAL WHERE site = {site:String} AND removed = 0) AS e
LEFT JOIN (SELECT id, sum(exclusion_hits.hits) AS n, max(exclusion_hits.last) AS at FROM exclusion_hits WHERE site = {site:String} GROUP BY id) AS h ON h.id = e.id
ORDER BY e.created, e.id
