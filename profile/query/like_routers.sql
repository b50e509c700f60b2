-- Which of some ids have a router's talk and nothing else: DNS, DHCP, NTP, SNMP,
-- syslog, routing, ICMP, and if they offer that, pages of their own to the site.
SELECT device
FROM
(
    SELECT
        device, role,
        proto IN (1, 2, 58, 89, 103, 112) OR scope = 'multicast' OR port IN (53, 67, 68, 123, 161, 162, 179, 514, 520, 521, 546, 547, 1985, 3784, 5351) AS plumbing,
        role = 'server' AND scope = 'lan' AND port IN (22, 23, 80, 443, 8080, 8443) AS managed,
        plumbing AND role != 'client' AND scope = 'lan' AS serving
    FROM edges
    WHERE device IN {ids:Array}
        AND (role != 'server' OR edges.bytes_out > 0) -- what was only tried on it is not its own
)
GROUP BY device
HAVING countIf(NOT plumbing AND NOT managed) = 0 AND (countIf(managed) = 0 OR countIf(serving) > 0)
