-- Alerts of which the table incidents does not say what the last event of the
-- log about them does. told is that event, kept the row in force; a row of a
-- later version than the last event may count more findings and say so.
SELECT
    coalesce(nullIf(told.name, ''), kept.name) AS alert,
    multiIf(kept.name = '', 'missing', told.name = '', 'added', kept.version < told.version, 'behind', 'altered') AS fault,
    told.batch_index, told.pos, told.time
FROM
(
    SELECT
        name, version, batch_index, pos,
        JSONExtractString(body, 'time') AS time,
        tuple(JSONExtractString(body, 'site'), JSONExtractString(body, 'device', 'id'), JSONExtractString(body, 'family'),
              JSONExtractString(body, 'target'), JSONExtractString(body, 'state'), JSONExtractString(body, 'since')) AS identity,
        tuple(JSONExtractUInt(body, 'risk'), JSONExtractUInt(body, 'findings'), JSONExtractString(body, 'expected'), JSONExtractString(body, 'observed'), JSONExtractString(body, 'text'),
              JSONExtractString(body, 'query'), JSONExtractString(body, 'reason'), JSONExtract(body, 'flows', 'Array(String)'), JSONExtract(body, 'attack', 'Array(String)'),
              JSONExtract(body, 'families', 'Array(String)'), JSONExtractString(body, 'verdict'),
              arrayMap(l -> (l.family, l.target, l.since, l.until, l.count, l.score, l.expected, l.observed, l.flows, l.query, l.cause),
                  JSONExtract(body, 'lines', 'Array(Tuple(family String, target String, since String, until String, count UInt64, score UInt8, expected String, observed String, flows Array(String), query String, cause String))'))) AS content
    FROM
    (
        SELECT JSONExtractString(body, 'incident') AS name, JSONExtractUInt(body, 'version') AS version, batch_index, pos, body
        FROM events
        WHERE log = ? AND JSONExtractString(body, 'kind') LIKE 'alert%' AND name != ''
        ORDER BY version DESC, batch_index DESC, pos DESC
        LIMIT 1 BY name
    )
) AS told
FULL OUTER JOIN
(
    SELECT
        leftPad(lower(hex(id)), 16, '0') AS name,
        version,
        tuple(toString(site), leftPad(lower(hex(device)), 16, '0'), toString(family), target, toString(state),
              concat(replaceOne(toString(opened), ' ', 'T'), 'Z')) AS identity,
        tuple(toUInt64(risk), findings, expected, observed, text, query, reason, flows, attack, families, toString(verdict),
              arrayMap(l -> (l.family, l.target, concat(replaceOne(toString(l.since), ' ', 'T'), 'Z'), concat(replaceOne(toString(l.until), ' ', 'T'), 'Z'),
                  l.count, l.score, l.expected, l.observed, l.flows, l.query, l.cause), lines)) AS content
    FROM incidents FINAL
) AS kept ON told.name = kept.name
WHERE told.name = '' OR kept.name = '' OR kept.version < told.version OR kept.identity != told.identity
   OR (kept.version = told.version AND kept.content != told.content)
ORDER BY alert
LIMIT 1000
