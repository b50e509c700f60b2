INSERT INTO score_cursors (log, batch_index, watermark)
VALUES ({log:UInt64}, {batch:UInt64}, {watermark:DateTime64})
