INSERT INTO migrations (number, name, hash) VALUES (?, ?, ?)
