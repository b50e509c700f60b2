-- How often people were told, by day.
SELECT toDate(told_at) AS day, sum(told_today)
FROM incidents FINAL
WHERE site = {site:String} AND told_at >= {since:DateTime64}
GROUP BY day
