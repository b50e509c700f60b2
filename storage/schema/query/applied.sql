SELECT number, argMin(hash, applied) FROM migrations GROUP BY number ORDER BY number
