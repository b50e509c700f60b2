INSERT INTO mud_rules (site, profile, n, role, proto, port_low, port_high, peer, low, high, name)
