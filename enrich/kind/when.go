package kind

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// compiled is a When that was checked.
type compiled struct {
	When
	services [3][]ports // by Role
	without  []ports
	measures []measure
}

type measure struct {
	name  string
	of    func(*Behaviour) float64
	least float64
	most  float64
}

// measures are the names of Behaviour in a file of rules.
func measures() map[string]func(*Behaviour) float64 {
	return map[string]func(*Behaviour) float64{
		"hours": func(b *Behaviour) float64 { return b.Hours }, "flows": func(b *Behaviour) float64 { return b.Flows },
		"packets": func(b *Behaviour) float64 { return b.Packets }, "networks": func(b *Behaviour) float64 { return b.Networks },
		"networks_day": func(b *Behaviour) float64 { return b.NetworksDay }, "new_share": func(b *Behaviour) float64 { return b.NewShare },
		"top_share": func(b *Behaviour) float64 { return b.TopShare }, "services": func(b *Behaviour) float64 { return b.Services },
		"out_in": func(b *Behaviour) float64 { return b.OutIn }, "bytes_day": func(b *Behaviour) float64 { return b.BytesDay },
		"active_hours": func(b *Behaviour) float64 { return b.ActiveHours }, "lan_peers": func(b *Behaviour) float64 { return b.LANPeers },
		"samples": func(b *Behaviour) float64 { return b.Samples }, "bytes_flow": func(b *Behaviour) float64 { return b.BytesFlow },
		"packets_hour": func(b *Behaviour) float64 { return b.Packets * max(b.Samples, 1) / b.Hours },
	}
}

// compile reports every fault of w.
func (w When) compile() (compiled, error) {
	c := compiled{When: w}
	var errs []error
	parse := func(where string, list []string) (out []ports) {
		for _, s := range list {
			p, err := parsePorts(s)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", where, err))
			}
			out = append(out, p)
		}
		return out
	}
	c.services = [3][]ports{Serves: parse("serves", w.Serves), Uses: parse("uses", w.Uses), Announces: parse("announces", w.Announces)}
	c.without = parse("without", w.Without)
	if w.Scope != "" && w.Scope != "lan" && w.Scope != "wan" {
		errs = append(errs, fmt.Errorf("scope: got %q, want lan or wan", w.Scope))
	}
	known := measures()
	for name, limits := range w.Behaviour {
		of, ok := known[name]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("behaviour: no measure %q", name))
		case len(limits) != 2 || !(limits[0] <= limits[1]):
			errs = append(errs, fmt.Errorf("behaviour: %s: got %v, want [LEAST, MOST]", name, limits))
		default:
			c.measures = append(c.measures, measure{name, of, limits[0], limits[1]})
		}
	}
	slices.SortFunc(c.measures, func(a, b measure) int { return strings.Compare(a.name, b.name) })
	for _, list := range [][]string{w.Vendor, w.Domain, w.Hostname, w.Info, w.Discovery} {
		for _, s := range list {
			if s == "" || s != strings.ToLower(s) {
				errs = append(errs, fmt.Errorf("got the text %q, want it in lower case and not empty", s))
			}
		}
	}
	if w.Count < 0 {
		errs = append(errs, fmt.Errorf("count: got %d, want 1 or more", w.Count))
	}
	if len(w.Serves)+len(w.Uses)+len(w.Announces)+len(w.Vendor)+len(w.Domain)+len(w.Hostname)+len(w.Info)+len(w.Discovery)+len(w.Behaviour) == 0 {
		errs = append(errs, errors.New("has no condition"))
	}
	return c, errors.Join(errs...)
}

// holds says whether the rule holds, and what was seen.
func (r *Rule) holds(f *Facts) (string, bool) {
	c := &r.when
	var seen []string
	for role, list := range c.services {
		if len(list) > 0 && !c.service(f, Role(role), list, &seen) {
			return "", false
		}
	}
	for _, s := range f.Services {
		if slices.ContainsFunc(c.without, func(p ports) bool { return p.has(s.Proto, s.Port) }) {
			return "", false
		}
	}
	if len(c.Vendor) > 0 {
		if len(matches([]string{strings.ToLower(f.Vendor)}, c.Vendor, startsWithWords)) == 0 {
			return "", false
		}
		seen = append(seen, "its MAC is of "+f.Vendor)
	}
	for _, t := range []struct {
		want, got []string
		match     func(got, want string) bool
		what      string
	}{
		{c.Domain, f.Domains, inDomain, "deals with "},
		{c.Hostname, f.Hostnames, strings.Contains, "calls itself "},
		{c.Info, f.VendorInfo, strings.Contains, "says it is "},
		{c.Discovery, f.Discovery, strings.Contains, "announces or seeks "},
	} {
		if len(t.want) == 0 {
			continue
		}
		found := matches(t.got, t.want, t.match)
		if len(found) < max(c.Count, 1) {
			return "", false
		}
		seen = append(seen, t.what+strings.Join(found[:min(len(found), 3)], ", "))
	}
	for _, m := range c.measures {
		v := m.of(&f.Behaviour)
		if !(v >= m.least && v <= m.most) { // NaN holds for nothing
			return "", false
		}
		seen = append(seen, m.text(v))
	}
	return strings.Join(seen, "; "), true
}

// service says whether enough of the listed services have the role.
func (c *compiled) service(f *Facts, role Role, list []ports, seen *[]string) bool {
	found := make([]string, 0, 4)
	hit := 0
	for _, p := range list {
		var peers uint64
		var port uint16
		for _, s := range f.Services {
			if s.Role == role && p.has(s.Proto, s.Port) && (c.Scope == "" || s.WAN == (c.Scope == "wan")) && s.Peers >= max(c.Peers, 1) {
				peers, port = max(peers, s.Peers), s.Port
			}
		}
		if peers > 0 {
			hit++
			text := fmt.Sprintf("%s/%d", protoName(p.proto), port)
			if role != Announces {
				text += fmt.Sprintf(" (%s)", counted(peers, role))
			}
			found = append(found, text)
		}
	}
	if hit < max(c.Count, 1) {
		return false
	}
	verb := [3]string{Serves: "serves ", Uses: "uses ", Announces: "sends to a group on "}[role]
	*seen = append(*seen, verb+strings.Join(found[:min(len(found), 4)], ", "))
	return true
}

func protoName(p uint8) string { return map[uint8]string{6: "tcp", 17: "udp", 132: "sctp"}[p] }

func counted(n uint64, role Role) string {
	what := "clients"
	if role == Uses {
		what = "servers"
	}
	if n == 1 {
		what = strings.TrimSuffix(what, "s")
	}
	return fmt.Sprintf("%d %s", n, what)
}

func matches(got, want []string, match func(got, want string) bool) (out []string) {
	for _, g := range got {
		if slices.ContainsFunc(want, func(w string) bool { return match(g, w) }) {
			out = append(out, g)
		}
	}
	return out
}

// startsWithWords: "axis communications ab" starts with the words "axis
// communications", and "sonoscape" does not with "sonos".
func startsWithWords(s, words string) bool {
	rest, ok := strings.CutPrefix(s, words)
	return ok && (rest == "" || !letter(rest[0]))
}

func letter(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }

// inDomain: "a.example.org" is in "example.org".
func inDomain(s, domain string) bool {
	rest, ok := strings.CutSuffix(s, domain)
	return ok && (rest == "" || rest[len(rest)-1] == '.')
}

func (m measure) text(v float64) string {
	switch m.name {
	case "hours":
		return fmt.Sprintf("watched for %.0f hours", v)
	case "networks":
		return fmt.Sprintf("%.0f networks outside", v)
	case "networks_day":
		return fmt.Sprintf("%.1f networks outside a day", v)
	case "new_share":
		return fmt.Sprintf("%.0f %% of them on one day only", 100*v)
	case "top_share":
		return fmt.Sprintf("%.0f %% of its flows with three networks", 100*v)
	case "services":
		return fmt.Sprintf("%.0f services used outside", v)
	case "out_in":
		return fmt.Sprintf("sends %.1f times what it receives", v)
	case "bytes_day":
		return fmt.Sprintf("%.1f MB a day with the outside", v/1e6)
	case "active_hours":
		return fmt.Sprintf("traffic in %.0f %% of its hours", 100*v)
	case "lan_peers":
		return fmt.Sprintf("a client of %.0f devices of the site", v)
	case "packets":
		return fmt.Sprintf("%.0f packets seen", v)
	case "bytes_flow":
		return fmt.Sprintf("%.0f kB a flow with the outside", v/1e3)
	case "packets_hour":
		return fmt.Sprintf("%.0f packets an hour", v)
	case "samples":
		return fmt.Sprintf("1 in %.0f packets sampled", v)
	}
	return fmt.Sprintf("%s %.0f", m.name, v)
}

// NoBehaviour is the Behaviour of which nothing is known.
func NoBehaviour() Behaviour {
	n := math.NaN()
	return Behaviour{n, n, n, n, n, n, n, n, n, n, n, n, n, n}
}
