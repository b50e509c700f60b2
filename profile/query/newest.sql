-- The newest batch that was judged, and when the newest flow of the site ended, of the
-- last two days.
SELECT
    (SELECT max(batch_index) FROM score_cursors WHERE log = {log:UInt64} AND pace = 'steady') AS batch,
    toDateTime64(max(coverage_hours.last), 3, 'UTC') AS heard
FROM coverage_hours
WHERE site = {site:String} AND t > {now:DateTime64} - toIntervalDay(2) AND t <= {now:DateTime64}
