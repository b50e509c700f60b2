-- The containments people approved, newest first: those in force, or all.
SELECT name, device, title, alert, dialect, filter, rules, actor, reason, approved, expires, state, attempts, next, said, changed
FROM (SELECT * FROM containments FINAL WHERE site = {site:String})
WHERE state != 'ended' OR {all:UInt8}
ORDER BY approved DESC, name
