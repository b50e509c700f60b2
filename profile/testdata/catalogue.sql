INSERT INTO device_lives (site, device, identity, mac, received, first, last, sent, addresses) -- 300 with a MAC of their own, some of them gateways'
SELECT 'home', cityHash64(number), 'mac', 0x00408c000000 + number, '2026-11-20', toDateTime64('2026-10-01 00:00:00', 3, 'UTC') + cityHash64(number, 1) % 4320000 + 0.001 * number, toDateTime64('2026-11-20 00:00:00', 3, 'UTC') + cityHash64(number, 2) % 86400 - (number % 5 = 0 ? 604800 : 0) + 0.001 * number, cityHash64(number, 3) % 20,
    arrayFilter((a, i) -> i <= number % 4, [toIPv6(concat('10.0.', toString(number % 3), '.', toString(cityHash64(number, 4) % 256))), toIPv6(concat('2001:db8:', toString(number % 3), '::', toString(1 + number % 300))), toIPv6('::ffff:0.0.0.0')], [1, 2, 3])
FROM numbers(300);
INSERT INTO device_lives (site, device, identity, mac, received, first, last, sent, addresses) -- 12 gateways' MACs with what is behind them, 3 of them MACs from above
SELECT 'home', cityHash64(1000 + number), 'gateway', number % 12 < 3 ? 0x00408c000000 + number % 12 : 0x001122000000 + number % 12, '2026-11-20', toDateTime64('2026-10-02 00:00:00', 3, 'UTC') + cityHash64(number, 1) % 4320000 + 0.001 * number, toDateTime64('2026-11-20 00:00:00', 3, 'UTC') + cityHash64(number, 2) % 86400 + 0.001 * number, cityHash64(number, 3) % 12,
    [toIPv6(number % 2 ? concat('10.0.', toString(number % 5), '.', toString(cityHash64(number, 5) % 256)) : concat('192.168.', toString(number), '.', toString(number % 3 ? 77 : 1)))]
FROM numbers(120);
INSERT INTO device_lives (site, device, identity, mac, received, first, last, sent, addresses) -- 150 addresses, half of which nobody else has, some answered once
SELECT 'home', cityHash64(2000 + number), 'address', 0, '2026-11-20', toDateTime64('2026-11-20 00:00:00', 3, 'UTC') + cityHash64(number, 1) % 80000 + 0.001 * number, toDateTime64('2026-11-20 00:00:00', 3, 'UTC') + cityHash64(number, 1) % 80000 + (number % 3 ? 30 : 4000) + 0.001 * number, cityHash64(number, 3) % 8,
    [toIPv6(concat('10.0.', toString(number % 2 ? 2 : 9), '.', toString(number % 10 ? cityHash64(number, 6) % 256 : 254)))]
FROM numbers(150);
INSERT INTO device_lives (site, device, identity, mac, received, first, last, sent, addresses) -- seen both ways
SELECT 'home', cityHash64(number), 'address', 0, '2026-11-19', toDateTime64('2026-10-03 00:00:00', 3, 'UTC') + 0.001 * number, toDateTime64('2026-11-18 00:00:00', 3, 'UTC') + 0.001 * number, 9, [toIPv6(concat('10.0.7.', toString(number)))]
FROM numbers(20);
INSERT INTO device_lives (site, device, identity, mac, received, first, last, sent, addresses) VALUES ('elsewhere', 1, 'gateway', 0x00408c000007, '2026-11-20', '2026-11-01 00:00:00', '2026-11-25 00:00:00', 9, []);
INSERT INTO identity_intervals (site, device, addr, vrf, mac, begun, ended, source, confidence, name, gateway, written) -- leases of some, also of addresses without a MAC
SELECT 'home', cityHash64(number), toIPv6(concat('10.0.', toString(number % 3), '.', toString(number % 256))), 0, 0x00408c000000 + number, now64(3) - 86400, now64(3), 'lease', 95, concat('host-', toString(number)), 0, toDateTime64('2026-11-19 00:00:00', 3, 'UTC') + number
FROM numbers(200);
INSERT INTO identity_intervals (site, device, addr, vrf, mac, begun, ended, source, confidence, name, gateway, written)
SELECT 'home', cityHash64(2000 + number), toIPv6(concat('10.0.9.', toString(number))), 0, number % 7 ? 0x00408d000000 + number : 0x001122000005, now64(3) - 86400, now64(3), 'lease', 95, if(number % 2 > 0, concat('bare-', toString(number)), ''), 0, toDateTime64('2026-11-19 00:00:00', 3, 'UTC') + number
FROM numbers(60);
INSERT INTO identity_intervals (site, device, addr, vrf, mac, begun, ended, source, confidence, name, gateway, written)
SELECT 'home', cityHash64(1000 + 3 * number), toIPv6(concat('10.0.1.', toString(number))), 0, 0, now64(3) - 86400, now64(3), 'inventory', 100, '', 1, now64(3)
FROM numbers(8);
INSERT INTO device_aliases (site, device, target, source, actor, reason, changed) -- addresses that are devices', devices that are others', and some split again
SELECT 'home', cityHash64(2000 + number), cityHash64(number % 40), 'operator', 'ann', 'merged', toDateTime64('2026-11-20 00:00:00', 3, 'UTC')
FROM numbers(70);
INSERT INTO device_aliases (site, device, target, source, actor, reason, changed)
SELECT 'home', cityHash64(250 + number), cityHash64(200 + number % 10), 'operator', 'ann', 'merged', toDateTime64('2026-11-20 00:00:00', 3, 'UTC')
FROM numbers(25);
INSERT INTO device_aliases (site, device, target, source, actor, reason, changed)
SELECT 'home', cityHash64(250 + number), cityHash64(250 + number), 'operator', 'ann', 'split', toDateTime64('2026-11-21 00:00:00', 3, 'UTC')
FROM numbers(5);
INSERT INTO labels (site, device, label, actor, changed)
SELECT 'home', cityHash64(3 * number), concat('böx ', toString(number)), 'ann', toDateTime64('2026-11-20 00:00:00', 3, 'UTC') + number
FROM numbers(100);
INSERT INTO device_facts (site, device, fact, value, actor, reason, changed)
SELECT 'home', cityHash64(number * 5), ['approved', 'retired', 'zone'][1 + number % 3], if(number % 3 = 2, 'office', if(number % 4 > 0, 'yes', '')), 'ann', 'seen', toDateTime64('2026-11-20 00:00:00', 3, 'UTC') + number
FROM numbers(90);
INSERT INTO kinds (site, device, classified, kind, iot, probability, since, rules)
SELECT 'home', cityHash64(number * 2), now64(3), ['camera', 'printer', ''][1 + number % 3], ['iot', 'not iot', 'unknown'][1 + number % 3], 0.9, now64(3), 1
FROM numbers(150);
INSERT INTO kind_decisions (site, device, kind, actor, reason, decided)
SELECT 'home', cityHash64(number * 3), if(number % 4 > 0, 'printer', ''), 'ann', 'seen', now64(3)
FROM numbers(40);
INSERT INTO incidents (id, version, site, device, family, target, state, opened, changed, findings, risk, strength)
SELECT number, 1, 'home', cityHash64(number * 4 % 330), 'scan', '', if(number % 3 > 0, 'open', 'closed'), now64(3), now64(3), 1, cityHash64(number, 9) % 101, 0.5
FROM numbers(120);
INSERT INTO edges (device, role, scope, peer, proto, port, day, received, observer, exporter, peer_device, peer_addr, confidence, first, last, bytes_out, bytes_in, packets_out, packets_in, flows, samples, syn, failed, refused)
SELECT cityHash64(1000 + number % 120), ['client', 'server', 'client'][1 + number % 3], number % 2 ? 'lan' : 'wan', number, number % 11 ? 17 : 1, number % 5 ? 53 : [443, 80, 22, 123][1 + number % 4], '2026-11-20', '2026-11-20', 1, toIPv6('::ffff:192.0.2.1'),
    0, toIPv6('::ffff:52.1.1.1'), 85, now64(3), now64(3), number % 4 * 100, 1000, 10, 10, 2, 20, 0, 0, 0
FROM numbers(200);
