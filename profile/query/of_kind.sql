-- Which ids are of a kind: decided, or else judged.
SELECT device FROM kind_decisions FINAL WHERE site = {site:String} AND kind != '' AND kind = {kind:String}
UNION ALL
SELECT device
FROM kinds FINAL
WHERE site = {site:String} AND kind = {kind:String}
    AND device NOT IN (SELECT device FROM kind_decisions FINAL WHERE site = {site:String} AND kind != '')
