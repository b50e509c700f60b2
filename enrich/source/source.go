// Package source reads who has which address from what a site already keeps:
// DHCP leases, neighbour tables, and routers that answer SNMP.
//
// Parsers take bytes and give bindings; what they cannot read they name by line
// and reason, and go on. Watch follows files while they change.
package source

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"tidemark/collector/flow/oneline"
	"tidemark/enrich/binding"
)

const (
	maxFile     = 64 << 20 // octets of a file that are read
	maxBindings = 1 << 18  // of one reading
	maxFaults   = 20       // that are named; the others are counted
	maxLine     = 4096
	maxName     = 255 // RFC 1035, Section 2.3.4
)

// Fault is a line that could not be used, or with Line 0 something of the whole.
type Fault struct {
	Line   int
	Reason string
}

func (f Fault) String() string {
	if f.Line == 0 {
		return f.Reason
	}
	return fmt.Sprintf("line %d: %s", f.Line, f.Reason)
}

// Reading is what one look at a source gave.
type Reading struct {
	Bindings []binding.Interval
	Ports    []Port  // of a switch
	Faults   []Fault // the first of them
	Bad      int     // all of them
}

func (r *Reading) fault(line int, format string, args ...any) {
	r.Bad++
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, Fault{line, fmt.Sprintf(format, args...)})
	}
}

func (r *Reading) add(line int, i binding.Interval) {
	if len(r.Bindings) >= maxBindings {
		r.fault(line, "more than %d bindings: the rest is not read", maxBindings)
		return
	}
	r.Bindings = append(r.Bindings, i)
}

// Kind is a format of a file.
type Kind string

const (
	Dnsmasq Kind = "dnsmasq"  // dnsmasq.leases
	ISC     Kind = "isc"      // dhcpd.leases
	Kea     Kind = "kea"      // kea-leases4.csv, kea-leases6.csv
	IPNeigh Kind = "ip-neigh" // output of `ip neigh`
	ARP     Kind = "arp"      // output of `arp -an`, or /proc/net/arp
)

// Kinds are all formats.
func Kinds() []Kind { return []Kind{Dnsmasq, ISC, Kea, IPNeigh, ARP} }

// Parse reads a file of a kind. A last line that is not ended yet is left for
// the next time.
func Parse(kind Kind, text []byte) (Reading, error) {
	var r Reading
	switch kind {
	case Dnsmasq:
		parseDnsmasq(text, &r)
	case ISC:
		parseISC(text, &r)
	case Kea:
		parseKea(text, &r)
	case IPNeigh:
		parseIPNeigh(text, &r)
	case ARP:
		parseARP(text, &r)
	default:
		return r, fmt.Errorf("read %q: no such format, want one of %v", kind, Kinds())
	}
	return r, nil
}

// lines calls f for each complete line, numbered from 1, without its end.
func lines(text []byte, r *Reading, f func(n int, line string)) {
	for n := 1; len(text) > 0; n++ {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			return // still being written
		}
		line := bytes.TrimRight(text[:end], "\r ")
		text = text[end+1:]
		switch {
		case len(line) > maxLine:
			r.fault(n, "longer than %d octets", maxLine)
		case bytes.IndexByte(line, 0) >= 0:
			r.fault(n, "holds NUL octets: no text file, or one that was cut by a crash")
		case len(line) > 0:
			f(n, string(line))
		}
	}
}

// ParseMAC reads a MAC with colons, hyphens, Cisco's dots, or none; 48 bits, of
// one station.
func ParseMAC(s string) (uint64, error) {
	digits := strings.NewReplacer(":", "", "-", "", ".", "").Replace(s)
	if strings.Count(s, ":") == 5 { // arp on BSD leaves out leading zeros
		digits = ""
		for part := range strings.SplitSeq(s, ":") {
			digits += fmt.Sprintf("%02s", part)
		}
	}
	mac, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || len(digits) != 12 {
		return 0, fmt.Errorf("got %q, want a MAC such as 00:40:8c:12:34:56", short(s))
	}
	if mac == 0 || mac>>40&1 == 1 {
		return 0, fmt.Errorf("got %q, want the MAC of one station, no group and not all zero", short(s))
	}
	return mac, nil
}

// macOfDUID is the MAC in a DHCP Unique Identifier of type LLT or LL on Ethernet
// (RFC 8415, Section 11); 0 if there is none in it.
func macOfDUID(s string) uint64 {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil {
		return 0
	}
	switch {
	case len(b) == 14 && b[0] == 0 && b[1] == 1 && b[2] == 0 && b[3] == 1:
		b = b[8:]
	case len(b) == 10 && b[0] == 0 && b[1] == 3 && b[2] == 0 && b[3] == 1:
		b = b[4:]
	default:
		return 0
	}
	mac, err := ParseMAC(hex.EncodeToString(b))
	if err != nil {
		return 0
	}
	return mac
}

func parseAddr(s string) (netip.Addr, error) {
	s, _, _ = strings.Cut(s, "%")
	a, err := netip.ParseAddr(s)
	if err != nil || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, fmt.Errorf("got %q, want the IP address of one host", short(s))
	}
	return a.Unmap(), nil
}

// hostName takes a name as a source gives it, if it can be one.
func hostName(s string) string {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	if s == "" || s == "*" || s == "?" || len(s) > maxName {
		return ""
	}
	if !oneline.Valid(s) || strings.ContainsRune(s, utf8.RuneError) {
		return ""
	}
	return s
}

func short(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
