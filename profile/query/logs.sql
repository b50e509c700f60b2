-- Every log with contacts.
SELECT DISTINCT log FROM contacts ORDER BY log
