INSERT INTO names (site, addr, name, source, received, first, last, seen)
