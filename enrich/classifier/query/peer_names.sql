-- Names of the addresses outside the site that devices dealt with. An address
-- with more than three names is shared by many sites and says nothing. told is 0 of
-- names that only reverse DNS gave.
WITH named AS
(
    SELECT addr, groupUniqArray(4)(name) AS list, max(source != 'reverse') AS told
    FROM names
    WHERE site = {site:String} AND source != 'mdns'
    GROUP BY addr
    HAVING length(list) <= 3
)
SELECT DISTINCT edges.device AS device, arrayJoin(named.list) AS name, named.told AS told
FROM (SELECT DISTINCT device, peer_addr FROM edges WHERE device IN {devices:Array(UInt64)} AND scope = 'wan') AS edges
INNER JOIN named ON named.addr = edges.peer_addr
LIMIT 200 BY device
