INSERT INTO hints (site, mac, addr, hint, value, source, received, first, last, seen)
