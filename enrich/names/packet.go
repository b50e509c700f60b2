// Package names reads the names that hosts say or ask for out of sampled packet
// headers, and keeps them.
//
// Nothing is asked of the network but by a Reverser, which the operator switches
// on. A sampled header is short (128 octets
// with most switches), so much is cut off: what is whole is read, the rest left.
// What it reads comes from the network and may be made to hurt: each parser
// takes a bounded number of steps and returns bounded text.
package names

import (
	"net/netip"
	"strings"
)

// Packet is a sampled packet as far as its header was sampled.
type Packet struct {
	Received         int64 // ns since 1970
	Src, Dst         [16]byte
	SrcMAC, DstMAC   uint64 // 0 = not in the sample
	TCP              bool   // else UDP
	SrcPort, DstPort uint16
	Payload          []byte // behind the transport header; not kept
}

// Source is where a name was read.
type Source string

const (
	DNS     Source = "dns"
	TLS     Source = "tls"
	HTTP    Source = "http"
	MDNS    Source = "mdns"
	DHCP    Source = "dhcp"
	SSDP    Source = "ssdp"
	NetBIOS Source = "netbios"
	LLMNR   Source = "llmnr"
)

// Sources lists all of them.
func Sources() []Source {
	return []Source{DNS, TLS, HTTP, MDNS, DHCP, SSDP, NetBIOS, LLMNR}
}

// Kind is what an Observation says.
type Kind string

const (
	Address     Kind = "address"      // the address has the name Value
	Domain      Kind = "domain"       // the station looked up or talked to Value
	Hostname    Kind = "hostname"     // the station calls itself Value
	VendorInfo  Kind = "vendor_info"  // DHCP vendor class or server header
	Discovery   Kind = "discovery"    // the station announces or seeks a service of type Value
	DHCPOptions Kind = "dhcp_options" // options it asks for, in its order: a fingerprint
)

// Observation is one name read from a packet.
type Observation struct {
	Kind   Kind
	Source Source
	Value  string
	MAC    uint64     // of the station, 0 if not known
	Addr   netip.Addr // of the station, or which has the name
}

// maxValue bounds a name (RFC 1035, Section 2.3.4).
const maxValue = 253

// maxObservations bounds what one packet may say.
const maxObservations = 16

// Ports lists the ports, UDP or TCP, of packets worth reading.
func Ports() []uint16 {
	ports := []uint16{53, 67, 68, 80, 137, 1900, 5353, 5355, 8080}
	return append(ports, tlsPorts()...)
}

func tlsPorts() []uint16 { return []uint16{443, 853, 993, 4843, 5061, 5223, 5228, 8443, 8883, 8886} }

// Read appends what p says to dst. It says whether p was of a known protocol
// and, if it was, whether anything in it broke the protocol's rules before the
// sample ended.
func Read(dst []Observation, p *Packet) (out []Observation, protocol Source, malformed bool) {
	r := reader{packet: p, out: dst, limit: len(dst) + maxObservations}
	if p.TCP {
		return r.readTCP()
	}
	return r.readUDP()
}

type reader struct {
	packet *Packet
	out    []Observation
	limit  int
}

func (r *reader) readTCP() ([]Observation, Source, bool) {
	p := r.packet
	switch {
	case len(p.Payload) == 0:
	case p.Payload[0] == tlsHandshake:
		bad := r.clientHello(p.Payload)
		return r.out, TLS, bad
	case p.DstPort == 80 || p.DstPort == 8080 || p.SrcPort == 80 || p.SrcPort == 8080:
		bad := r.http(p.Payload)
		return r.out, HTTP, bad
	}
	return r.out, "", false
}

func (r *reader) readUDP() ([]Observation, Source, bool) {
	p := r.packet
	has := func(port uint16) bool { return p.SrcPort == port || p.DstPort == port }
	var source Source
	var bad bool
	switch {
	case has(53):
		source, bad = DNS, r.dns(p.Payload)
	case has(5353):
		source, bad = MDNS, r.mdns(p.Payload)
	case has(5355):
		source, bad = LLMNR, r.llmnr(p.Payload)
	case has(137):
		source, bad = NetBIOS, r.netbios(p.Payload)
	case has(67), has(68):
		source, bad = DHCP, r.dhcp(p.Payload)
	case has(1900):
		source, bad = SSDP, r.ssdp(p.Payload)
	}
	return r.out, source, bad
}

// src and dst are the two ends of the packet.
func (r *reader) src() Observation {
	return Observation{MAC: r.packet.SrcMAC, Addr: netip.AddrFrom16(r.packet.Src)}
}

func (r *reader) dst() Observation {
	return Observation{MAC: r.packet.DstMAC, Addr: netip.AddrFrom16(r.packet.Dst)}
}

// say appends an observation about a station or address, if its text is fit.
func (r *reader) say(about Observation, kind Kind, source Source, value string) {
	value = strings.ToLower(strings.TrimSpace(value))
	if len(r.out) >= r.limit || value == "" || len(value) > maxValue || !printable(value) {
		return
	}
	about.Kind, about.Source, about.Value = kind, source, value
	r.out = append(r.out, about)
}

// printable: ASCII without control characters. A name in another script comes
// as punycode (RFC 3492).
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// domain says whether a name is one of the world's: with a dot, and no plumbing.
func domain(name string) bool {
	if !strings.Contains(name, ".") {
		return false
	}
	for _, suffix := range []string{".arpa", ".local", ".localdomain", ".lan", ".home", ".internal", ".invalid", ".test"} {
		if strings.HasSuffix(name, suffix) {
			return false
		}
	}
	for i := range len(name) {
		c := name[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}
