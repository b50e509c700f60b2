-- Records that claim another log than this one: flows, and events or headers.
SELECT
    (SELECT count() FROM flows WHERE log != ?) + (SELECT count() FROM flows_quarantine WHERE log != ?) AS of_flows,
    (SELECT count() FROM events WHERE log != ?) + (SELECT count() FROM headers WHERE log != ?) AS of_events
