package source

import (
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"tidemark/enrich/binding"
)

// parseDnsmasq reads "expiry MAC address name client-id" (DHCPv4), and after a
// line "duid ..." the same with an IAID for the MAC (DHCPv6). The expiry is in
// seconds since 1970, 0 = never.
func parseDnsmasq(text []byte, r *Reading) {
	lines(text, r, func(n int, line string) {
		f := strings.Fields(line)
		if f[0] == "duid" {
			return
		}
		if len(f) < 4 {
			r.fault(n, "got %d fields, want expiry, MAC, address, name", len(f))
			return
		}
		expiry, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil || expiry < 0 || expiry > maxSeconds {
			r.fault(n, "expiry: got %q, want seconds since 1970, or 0", short(f[0]))
			return
		}
		addr, err := parseAddr(f[2])
		if err != nil {
			r.fault(n, "address: %v", err)
			return
		}
		i := binding.Interval{Addr: addr, Source: binding.Lease, Name: hostName(f[3])}
		if expiry > 0 {
			i.To = expiry * second
		}
		if addr.Is4() {
			hardware := f[1] // "06-aa:bb:.." where it is no Ethernet
			if strings.Contains(hardware, "-") && strings.Contains(hardware, ":") {
				return
			}
			if i.MAC, err = ParseMAC(hardware); err != nil {
				r.fault(n, "MAC: %v", err)
				return
			}
		} else if len(f) > 4 {
			i.MAC = macOfDUID(f[4])
		}
		if i.MAC != 0 { // a DUID need not hold one
			r.add(n, i)
		}
	})
}

const (
	second     = int64(time.Second)
	maxSeconds = 1 << 33 // the year 2242: longer does not fit in ns
)

// parseISC reads dhcpd.leases(5): blocks "lease ADDRESS { ... }", the last of an
// address being in force. What is no lease (failover state, IPv6 ia-na, ...) is
// passed over by its braces.
func parseISC(text []byte, r *Reading) {
	var lease *iscLease
	depth := 0
	lines(text, r, func(n int, line string) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			return
		}
		begins := strings.HasPrefix(line, "lease ") && strings.HasSuffix(line, "{") && !strings.Contains(line, `"`)
		if begins && depth > 0 { // leases are in no block: what was open before was never ended
			if lease != nil {
				r.fault(lease.line, "lease %s: it has no end", lease.Addr)
			}
			lease, depth = nil, 0
		}
		if lease != nil && depth == 1 && line != "}" {
			if err := lease.statement(line); err != nil {
				r.fault(n, "lease %s: %v", lease.Addr, err)
				lease.bad = true
			}
		}
		if depth == 0 && lease == nil && strings.HasPrefix(line, "lease ") {
			f := strings.Fields(line)
			lease = &iscLease{line: n, active: true, Interval: binding.Interval{Source: binding.Lease}}
			var err error
			if lease.Addr, err = parseAddr(f[1]); err != nil {
				r.fault(n, "lease: %v", err)
				lease.bad = true
			}
		}
		open := strings.Count(line, "{")
		if strings.Contains(line, `"`) {
			open = 0 // a brace in a name
			if strings.HasSuffix(line, "{") {
				open = 1
			}
		}
		depth += open
		if strings.HasPrefix(line, "}") {
			depth = max(depth-1, 0)
			if lease != nil && depth == 0 {
				lease.end(r)
				lease = nil
			}
		}
	})
}

type iscLease struct {
	binding.Interval
	line   int
	active bool
	bad    bool
	ended  int64 // cltt: when a lease that is active no more was last heard of
}

func (l *iscLease) statement(line string) error {
	line = strings.TrimSuffix(line, ";")
	word, rest, _ := strings.Cut(line, " ")
	var err error
	switch word {
	case "starts":
		l.From, err = iscTime(rest)
	case "ends":
		l.To, err = iscTime(rest)
	case "cltt":
		l.ended, err = iscTime(rest)
	case "binding":
		l.active = rest == "state active"
	case "hardware":
		kind, mac, _ := strings.Cut(rest, " ")
		if kind == "ethernet" {
			l.MAC, err = ParseMAC(mac)
		}
	case "client-hostname":
		l.Name = hostName(strings.Trim(rest, `"`))
	}
	return err
}

// end enters a lease. One that is free again says until when it was not.
func (l *iscLease) end(r *Reading) {
	if l.bad || l.MAC == 0 {
		return
	}
	if !l.active && l.ended > 0 && (l.To == 0 || l.ended < l.To) {
		l.To = l.ended
	}
	if l.To != 0 && l.To <= l.From {
		return
	}
	r.add(l.line, l.Interval)
}

// iscTime reads "W YYYY/MM/DD HH:MM:SS" in UTC, "epoch SECONDS; # comment", or
// "never" (0).
func iscTime(s string) (int64, error) {
	f := strings.Fields(s)
	switch {
	case len(f) == 1 && f[0] == "never":
		return 0, nil
	case len(f) >= 2 && f[0] == "epoch":
		n, err := strconv.ParseInt(strings.TrimSuffix(f[1], ";"), 10, 64)
		if err != nil || n < 0 || n > maxSeconds {
			return 0, errors.New("got a time that is no number of seconds since 1970")
		}
		return n * second, nil
	case len(f) == 3:
		t, err := time.Parse("2006/01/02 15:04:05", f[1]+" "+f[2])
		if err == nil && t.Unix() > 0 && t.Unix() < maxSeconds {
			return t.UnixNano(), nil
		}
	}
	return 0, errors.New("got time \"" + short(s) + "\", want such as 4 2026/11/22 08:00:00")
}

// parseKea reads the memfile backend's lease file: CSV with a header, one line
// for each change; the last of an address is in force. Commas in a field are
// written &#x2c.
func parseKea(text []byte, r *Reading) {
	var at map[string]int
	lines(text, r, func(n int, line string) {
		in := csv.NewReader(strings.NewReader(line))
		in.LazyQuotes = true
		f, err := in.Read()
		if err != nil && !errors.Is(err, io.EOF) {
			r.fault(n, "no CSV: %v", err)
			return
		}
		if len(f) > 1 && f[0] == "address" {
			at = map[string]int{}
			for i, name := range f {
				at[name] = i
			}
			return
		}
		if at == nil {
			r.fault(n, "got %q, want the header: address,hwaddr,... or address,duid,...", short(line))
			return
		}
		if i, ok := keaLease(n, f, at, r); ok {
			r.add(n, i)
		}
	})
}

func keaLease(n int, f []string, at map[string]int, r *Reading) (i binding.Interval, ok bool) {
	field := func(name string) string {
		if k, ok := at[name]; ok && k < len(f) {
			return f[k]
		}
		return ""
	}
	if len(f) < 5 {
		r.fault(n, "got %d fields, want as many as the header", len(f))
		return i, false
	}
	addr, err := parseAddr(field("address"))
	if err != nil {
		r.fault(n, "address: %v", err)
		return i, false
	}
	lifetime, err1 := strconv.ParseInt(field("valid_lifetime"), 10, 64)
	expire, err2 := strconv.ParseInt(field("expire"), 10, 64)
	if err1 != nil || err2 != nil || lifetime < 0 || expire < lifetime || expire > maxSeconds {
		r.fault(n, "valid_lifetime, expire: got %q, %q, want seconds", short(field("valid_lifetime")), short(field("expire")))
		return i, false
	}
	if t := field("lease_type"); t != "" && t != "0" && t != "1" {
		return i, false // a delegated prefix is no address
	}
	switch state := field("state"); state {
	case "0", "":
	case "1", "2", "3":
		return i, false // declined, reclaimed, released: the line before says by whom it was held
	default:
		r.fault(n, "state: got %q, want 0 to 3", short(state))
		return i, false
	}
	i = binding.Interval{Addr: addr, Source: binding.Lease, Name: hostName(field("hostname")), From: (expire - lifetime) * second, To: expire * second}
	if lifetime == 0xffffffff { // infinite
		i.From, i.To = 0, 0
	}
	if hw := field("hwaddr"); hw != "" {
		if i.MAC, err = ParseMAC(hw); err != nil {
			r.fault(n, "hwaddr: %v", err)
			return i, false
		}
	} else {
		i.MAC = macOfDUID(field("duid"))
	}
	return i, i.MAC != 0 && i.To >= 0 && (i.To == 0 || i.To > i.From)
}
