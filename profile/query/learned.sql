-- Whether new batches touched a device that is not only learned any more.
SELECT count() > 0
FROM (SELECT device, max(contacts.last) AS at FROM contacts WHERE log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} GROUP BY device) AS new
INNER JOIN (SELECT device, min(devices.first) AS born FROM devices WHERE site = {site:String} GROUP BY device) AS known USING (device)
WHERE at >= born + toIntervalSecond({learning:UInt64})
