package source

import (
	"slices"
	"strings"

	"tidemark/enrich/binding"
)

// parseIPNeigh reads the output of `ip neigh` (iproute2):
// "10.0.0.2 dev eth0 lladdr 00:40:8c:00:00:01 [router] REACHABLE". The word
// "router" makes no gateway: Thread border routers, which are devices, say it too.
func parseIPNeigh(text []byte, r *Reading) {
	lines(text, r, func(n int, line string) {
		f := strings.Fields(line)
		mac := slices.Index(f, "lladdr") + 1
		if mac == 0 || mac >= len(f) {
			if len(f) > 2 && f[1] == "dev" {
				return // INCOMPLETE or FAILED: nobody answered
			}
			r.fault(n, "got %q, want a line of `ip neigh`: ADDRESS dev INTERFACE lladdr MAC STATE", short(line))
			return
		}
		if slices.Contains(f, "FAILED") || slices.Contains(f, "NOARP") {
			return
		}
		neighbour(n, f[0], f[mac], r)
	})
}

// parseARP reads the output of `arp -an` ("? (10.0.0.2) at 00:40:8c:00:00:01
// [ether] on eth0", BSD's too) and the file /proc/net/arp.
func parseARP(text []byte, r *Reading) {
	lines(text, r, func(n int, line string) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 4 && f[2] == "at" && strings.HasPrefix(f[1], "("):
			if strings.ContainsAny(f[3], "<(") {
				return // <incomplete>
			}
			neighbour(n, strings.Trim(f[1], "()"), f[3], r)
		case len(f) >= 6 && strings.HasPrefix(f[2], "0x"): // address, type, flags, MAC, mask, device
			if f[2] != "0x0" {
				neighbour(n, f[0], f[3], r)
			}
		case strings.HasPrefix(line, "IP address") || strings.HasPrefix(line, "Address"):
		default:
			r.fault(n, "got %q, want a line of `arp -an` or of /proc/net/arp", short(line))
		}
	})
}

func neighbour(n int, address, hardware string, r *Reading) {
	addr, err := parseAddr(address)
	if err != nil {
		r.fault(n, "address: %v", err)
		return
	}
	mac, err := ParseMAC(hardware)
	if err != nil {
		r.fault(n, "MAC: %v", err)
		return
	}
	r.add(n, binding.Interval{Addr: addr, MAC: mac, Source: binding.Neighbour})
}
