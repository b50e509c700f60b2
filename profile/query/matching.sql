-- Ids of which somebody says something with a text in it: their name, a fact, a
-- host name, a kind.
SELECT device FROM labels FINAL WHERE site = {site:String} AND positionCaseInsensitiveUTF8(label, {match:String}) > 0
UNION ALL
SELECT device FROM device_facts FINAL WHERE site = {site:String} AND positionCaseInsensitiveUTF8(value, {match:String}) > 0
UNION ALL
SELECT device FROM identity_intervals WHERE site = {site:String} AND gateway = 0 AND positionCaseInsensitiveUTF8(name, {match:String}) > 0
UNION ALL
SELECT device FROM kinds FINAL WHERE site = {site:String} AND positionCaseInsensitive(toString(kinds.kind), {match:String}) > 0
UNION ALL
SELECT device FROM kind_decisions FINAL WHERE site = {site:String} AND positionCaseInsensitive(toString(kind_decisions.kind), {match:String}) > 0
