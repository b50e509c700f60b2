INSERT INTO exclusion_hits (site, id, hits, last)
VALUES ({site:String}, {id:UInt64}, {hits:UInt64}, {last:DateTime64})
