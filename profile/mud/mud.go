// Package mud reads MUD files (RFC 8520) and reduces their access lists to rules
// about whom a device may deal with by which service.
package mud

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"tidemark/profile/stamp"
)

const (
	maxFile  = 1 << 20
	maxRules = 2000
	maxNotes = 20
	maxFault = 20   // that are told one by one
	maxACEs  = 5000 // entries that are looked at: each may name several rules
)

// Peer is how a rule names whom the device may deal with.
type Peer string

const (
	Any              Peer = "any"
	Local            Peer = "local"             // the site's own networks
	Network          Peer = "network"           // from Low to High
	Name             Peer = "name"              // an address that had this name
	SameManufacturer Peer = "same manufacturer" // a device of the same maker
	Unknown          Peer = "unknown"           // the file says it by a class that flows do not show
)

// Rule permits the device to deal with some peers by some services. What no rule
// permits is forbidden (RFC 8520, Section 1.1).
type Rule struct {
	Role              string // of the device: client, server, any
	Proto             uint8  // 0 = any
	PortLow, PortHigh uint16 // of the service
	Peer              Peer
	Low, High         netip.Addr // of Network, 16 octets
	Name              string     // of Name, lower case
}

// Profile is a MUD file, reduced.
type Profile struct {
	ID    uint64 // of its text
	File  string
	URL   string // by which its maker names it
	Info  string
	Rules []Rule
	Notes []string // what of it flows cannot be judged by
}

// file is the part of a MUD file that is read (RFC 8520, Section 10; RFC 8519).
type file struct {
	MUD struct {
		Version int    `json:"mud-version"`
		URL     string `json:"mud-url"`
		Info    string `json:"systeminfo"`
		From    policy `json:"from-device-policy"`
		To      policy `json:"to-device-policy"`
	} `json:"ietf-mud:mud"`
	ACLs  lists `json:"ietf-access-control-list:acls"`
	Draft lists `json:"ietf-access-control-list:access-lists"` // of drafts, which tools still write
}

type policy struct {
	Lists struct {
		List []struct {
			Name string `json:"name"`
		} `json:"access-list"`
	} `json:"access-lists"`
}

type lists struct {
	ACL []list `json:"acl"`
}

type list struct {
	Name string `json:"name"`
	ACEs struct {
		ACE []entry `json:"ace"`
	} `json:"aces"`
}

type entry struct {
	Name    string `json:"name"`
	Actions struct {
		Forwarding string `json:"forwarding"`
	} `json:"actions"`
	Matches matches `json:"matches"`
}

type matches struct {
	MUD  map[string]any  `json:"ietf-mud:mud"`
	IPv4 *addresses      `json:"ipv4"`
	IPv6 *addresses      `json:"ipv6"`
	TCP  *ports          `json:"tcp"`
	UDP  *ports          `json:"udp"`
	ICMP json.RawMessage `json:"icmp"`
}

type addresses struct {
	Protocol uint8  `json:"protocol"`
	SrcName  string `json:"ietf-acldns:src-dnsname"`
	DstName  string `json:"ietf-acldns:dst-dnsname"`
	Src4     string `json:"source-ipv4-network"`
	Dst4     string `json:"destination-ipv4-network"`
	Src6     string `json:"source-ipv6-network"`
	Dst6     string `json:"destination-ipv6-network"`
}

type ports struct {
	Initiated string `json:"ietf-mud:direction-initiated"`
	Src       *span  `json:"source-port"`
	Dst       *span  `json:"destination-port"`
}

// span is a range of ports (RFC 8519, port-range-or-operator).
type span struct {
	Operator string  `json:"operator"`
	Port     *uint16 `json:"port"`
	Lower    *uint16 `json:"lower-port"`
	Upper    *uint16 `json:"upper-port"`
}

// Read reads a MUD file.
func Read(path string) (*Profile, error) {
	text, err := stamp.Read(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read MUD file: %w", err)
	}
	p, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read MUD file %s: %w", path, err)
	}
	p.File = path
	return p, nil
}

// Parse reduces the text of a MUD file; every fault is reported.
func Parse(text []byte) (*Profile, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("no JSON of a MUD profile (RFC 8520): %w", err)
	}
	if f.MUD.Version == 0 && f.MUD.URL == "" {
		return nil, errors.New("no MUD profile: want JSON with ietf-mud:mud (RFC 8520)")
	}
	sum := sha256.Sum256(text)
	p := &Profile{ID: max(1, binary.BigEndian.Uint64(sum[:8])), URL: f.MUD.URL, Info: f.MUD.Info}
	entries := map[string][]*entry{}
	for _, acls := range [][]list{f.ACLs.ACL, f.Draft.ACL} {
		for i := range acls {
			known := entries[acls[i].Name]
			for k := range acls[i].ACEs.ACE {
				known = append(known, &acls[i].ACEs.ACE[k])
			}
			entries[acls[i].Name] = known
		}
	}
	var errs []error
	read, bad := 0, 0
	fault := func(format string, args ...any) {
		if bad++; bad <= maxFault {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, way := range []struct {
		from   bool
		policy policy
	}{{true, f.MUD.From}, {false, f.MUD.To}} {
		done := map[string]bool{}
		for _, named := range way.policy.Lists.List {
			if done[named.Name] {
				continue
			}
			done[named.Name] = true
			all, found := entries[named.Name]
			if !found {
				fault("access list %q is named by the policy and is not in the file", named.Name)
			}
			for _, e := range all {
				if read++; read > maxACEs || len(p.Rules) > maxRules {
					return p, errors.Join(append(errs, fmt.Errorf("got more than %d entries or %d rules", maxACEs, maxRules))...)
				}
				if err := p.add(e, way.from); err != nil {
					fault("entry %q of list %q: %w", e.Name, named.Name, err)
				}
			}
		}
	}
	if bad > maxFault {
		errs = append(errs, fmt.Errorf("%d faults in all", bad))
	}
	if len(p.Rules) > maxRules {
		errs = append(errs, fmt.Errorf("got %d rules, want %d at most", len(p.Rules), maxRules))
	}
	if len(p.Rules) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("it permits nothing: no entry that accepts is in a list its policies name"))
	}
	return p, errors.Join(errs...)
}

func (p *Profile) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(p.Notes) < maxNotes && !slices.Contains(p.Notes, text) {
		p.Notes = append(p.Notes, text)
	}
}

// add reduces one entry of a list about packets from the device, or to it.
func (p *Profile) add(e *entry, from bool) error {
	if e.Actions.Forwarding != "accept" {
		p.note("entries that %s are left out: what none permits is forbidden anyway", e.Actions.Forwarding)
		return nil
	}
	m := &e.Matches
	if len(m.ICMP) > 0 || m.IPv4 == nil && m.IPv6 == nil && m.TCP == nil && m.UDP == nil && len(m.MUD) == 0 {
		return nil // of what is below or beside services, which are judged
	}
	peers, err := p.peers(m, from)
	if err != nil {
		return err
	}
	services, err := m.services(from)
	if err != nil {
		return err
	}
	for _, s := range services {
		for _, r := range peers {
			r.Role, r.Proto, r.PortLow, r.PortHigh = s.Role, s.Proto, s.PortLow, s.PortHigh
			if !slices.Contains(p.Rules, r) {
				p.Rules = append(p.Rules, r)
			}
		}
	}
	return nil
}

// peers are the peers that an entry names: all its conditions must hold, so the one
// that flows show best stands for them.
func (p *Profile) peers(m *matches, from bool) ([]Rule, error) {
	for _, a := range []*addresses{m.IPv4, m.IPv6} {
		if a == nil {
			continue
		}
		name, network := a.SrcName, a.Src4+a.Src6
		if from {
			name, network = a.DstName, a.Dst4+a.Dst6
		}
		if name != "" {
			return []Rule{{Peer: Name, Name: strings.ToLower(strings.TrimSuffix(name, "."))}}, nil
		}
		if network != "" {
			n, err := netip.ParsePrefix(network)
			if err != nil {
				return nil, fmt.Errorf("got network %q, want one such as 192.0.2.0/24", network)
			}
			low, high := bounds(n)
			return []Rule{{Peer: Network, Low: low, High: high}}, nil
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.MUD)) {
		switch key {
		case "local-networks":
			return []Rule{{Peer: Local}}, nil
		case "same-manufacturer":
			p.note("same-manufacturer holds for devices whose MACs begin alike; of others inside the site it is not known")
			return []Rule{{Peer: SameManufacturer}}, nil
		default: // controller, my-controller, manufacturer, model
			class, _ := m.MUD[key].(string)
			switch {
			case key == "controller" && (class == "urn:ietf:params:mud:dns" || class == "urn:ietf:params:mud:ntp"):
				return []Rule{{Peer: Any}}, nil // RFC 8520, Section 17.7; told by the port
			case key == "controller" && class == "urn:ietf:params:mud:gateway":
				return []Rule{{Peer: Local}}, nil
			}
			p.note("%s %s: nothing says who that is, so services it is named for are not judged", key, class)
			return []Rule{{Peer: Unknown}}, nil
		}
	}
	return []Rule{{Peer: Any}}, nil
}

// bounds are the first and last address of a network.
func bounds(n netip.Prefix) (low, high netip.Addr) {
	first, bits := n.Masked().Addr().As16(), n.Bits()
	if n.Addr().Is4() {
		bits += 96
	}
	last := first
	for i := bits; i < 128; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(first), netip.AddrFrom16(last)
}

// services are the services an entry permits: the port of the side that answers is
// that of the service (RFC 8520, Section 8.6 says who begins).
func (m *matches) services(from bool) (out []Rule, err error) {
	var proto uint8
	for _, a := range []*addresses{m.IPv4, m.IPv6} {
		if a != nil && a.Protocol != 0 {
			proto = a.Protocol
		}
	}
	at := ports{}
	if m.TCP != nil {
		at, proto = *m.TCP, 6
	} else if m.UDP != nil {
		at, proto = *m.UDP, 17
	}
	peer, own := at.Src, at.Dst
	if from {
		peer, own = at.Dst, at.Src
	}
	add := func(role string, s *span) {
		low, fault := s.ranges()
		err = errors.Join(err, fault)
		for _, r := range low {
			out = append(out, Rule{Role: role, Proto: proto, PortLow: r[0], PortHigh: r[1]})
		}
	}
	switch {
	case at.Initiated == "from-device":
		add("client", peer)
	case at.Initiated == "to-device":
		add("server", own)
	case at.Initiated != "":
		return nil, fmt.Errorf("got direction-initiated %q, want from-device or to-device", at.Initiated)
	case peer == nil && own == nil:
		add("any", nil)
	default:
		if peer != nil {
			add("client", peer)
		}
		if own != nil {
			add("server", own)
		}
	}
	return out, err
}

// ranges are the ports of a span; nil means all.
func (s *span) ranges() ([][2]uint16, error) {
	switch {
	case s == nil:
		return [][2]uint16{{0, 65535}}, nil
	case s.Lower != nil && (s.Upper == nil || *s.Upper >= *s.Lower):
		upper := s.Upper
		if upper == nil {
			upper = s.Lower
		}
		return [][2]uint16{{*s.Lower, *upper}}, nil
	case s.Port == nil:
	case s.Operator == "" || s.Operator == "eq":
		return [][2]uint16{{*s.Port, *s.Port}}, nil
	case s.Operator == "lte":
		return [][2]uint16{{0, *s.Port}}, nil
	case s.Operator == "gte":
		return [][2]uint16{{*s.Port, 65535}}, nil
	case s.Operator == "neq":
		return [][2]uint16{{0, max(*s.Port, 1) - 1}, {min(*s.Port, 65534) + 1, 65535}}, nil
	}
	return nil, errors.New("a port is neither a range nor eq, lte, gte or neq with a port (RFC 8519)")
}
