INSERT INTO identity_intervals (site, device, addr, vrf, mac, begun, ended, source, confidence, name, gateway, written)
