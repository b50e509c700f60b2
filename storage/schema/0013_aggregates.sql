-- The rows of contacts, volumes_5m and devices are made by the program from each
-- batch (package profile/aggregate) and inserted beside it under its token: a
-- view over every flow cost three times what the flows did. They are what these
-- views made of a batch, row by row.
DROP VIEW IF EXISTS contacts_of_flows;
DROP VIEW IF EXISTS volumes_5m_of_flows;
DROP VIEW IF EXISTS devices_of_flows;

-- volumes_5m_in: the way into volumes_5m. It keeps nothing; `hosts` are the hashes
-- of the hosts with which a flow of the row began, one for each flow.
CREATE TABLE IF NOT EXISTS volumes_5m_in
(
    device       UInt64,
    t            DateTime('UTC'),
    scope        Enum8('unknown' = 0, 'lan' = 1, 'wan' = 2, 'multicast' = 3, 'transit' = 4),
    role         Enum8('unknown' = 0, 'client' = 1, 'server' = 2),
    observer     UInt64,
    received     Date,
    exporter     IPv6,
    bytes_out    UInt64,
    bytes_in     UInt64,
    packets_out  UInt64,
    packets_in   UInt64,
    samples      UInt64,
    flows        UInt64,
    failed       UInt64,
    refused      UInt64,
    hosts        Array(UInt64)
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS volumes_5m_of_in TO volumes_5m AS
SELECT * EXCEPT hosts, arrayReduce('uniqCombined64State(12)', hosts) AS peers
FROM volumes_5m_in;
