-- The days since a time of which edges are kept and contacts are not any more.
SELECT toDateTime64(day, 3, 'UTC')
FROM (SELECT DISTINCT day FROM edges)
WHERE day >= toDate({since:DateTime64}) AND day < (SELECT min(day) FROM contacts)
ORDER BY day
