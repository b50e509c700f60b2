INSERT INTO erasing (log, batch_index, pos)
