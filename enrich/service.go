package enrich

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// services.txt: "protocol port name", names as in the IANA registry where it
// has one, else the usual name of the product's protocol.
//
//go:embed services.txt
var servicesText string

type serviceTable struct {
	names map[serviceKey]string
	ports [1 << 16 / 64]uint64 // any protocol
}

type serviceKey struct {
	proto uint8
	port  uint16
}

var services = sync.OnceValue(func() *serviceTable {
	t := &serviceTable{names: map[serviceKey]string{}}
	for line := range strings.Lines(servicesText) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] == "#" {
			continue
		}
		port, err := strconv.ParseUint(f[1], 10, 16)
		if err != nil {
			continue
		}
		t.ports[port/64] |= 1 << (port % 64)
		for p := range strings.SplitSeq(f[0], "/") {
			t.names[serviceKey{map[string]uint8{"tcp": protoTCP, "udp": protoUDP, "sctp": protoSCTP}[p], uint16(port)}] = f[2]
		}
	}
	return t
})

// ServiceName names the service of a protocol and port: "mqtt", "tcp/40000",
// "icmp", "proto-47".
func ServiceName(proto uint8, port uint16) string {
	switch proto {
	case protoICMP:
		return "icmp"
	case protoICMP6:
		return "icmp6"
	case 2:
		return "igmp"
	case 47:
		return "gre"
	case 50:
		return "esp"
	}
	if name := services().names[serviceKey{proto, port}]; name != "" {
		return name
	}
	p := "proto-" + strconv.Itoa(int(proto))
	switch proto {
	case protoTCP:
		p = "tcp"
	case protoUDP:
		p = "udp"
	case protoSCTP:
		p = "sctp"
	default:
		return p
	}
	return p + "/" + strconv.Itoa(int(port))
}

// serviceLike says whether a port looks like a server's: reserved or known.
func serviceLike(port uint16) bool {
	return port < 1024 || services().ports[port/64]&(1<<(port%64)) != 0
}
