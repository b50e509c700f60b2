INSERT INTO score_cursors (log, pace, batch_index, watermark)
VALUES ({log:UInt64}, {pace:String}, {batch:UInt64}, {watermark:DateTime64})
