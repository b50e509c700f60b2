-- The event time of the newest contacts (the 99th percentile: one exporter's clock
-- must not carry the others away).
SELECT quantileExact(0.99)(contacts.last)
FROM contacts
WHERE received >= (SELECT max(received) FROM contacts) - 1
