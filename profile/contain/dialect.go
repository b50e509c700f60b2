package contain

import (
	"bytes"
	"embed"
	"fmt"
	"net/netip"
	"strings"
	"text/template"
	"time"
)

// Dialects are the languages of filters a plan can be written in.
func Dialects() []string { return []string{"nftables", "ios", "junos", "mikrotik", "flowspec"} }

//go:embed dialect/*.tmpl
var templates embed.FS

// line is one rule for one address of the device, as templates see it.
type line struct {
	Number   int
	V6       bool
	Source   netip.Prefix // zero = any
	Target   netip.Prefix // zero = any
	Proto    string       // "" = any
	Port     uint16       // destination port, 0 = any
	HasPort  bool
	ProtoNum uint8
}

// lines are the rules, for each address of the device of the peer's family.
func (p *Plan) lines() (out []line) {
	for _, r := range p.Rules {
		for _, a := range p.Addresses {
			a = a.Unmap()
			if r.Peer.IsValid() && r.Peer.Addr().Is4() != a.Is4() || r.Proto == 1 && a.Is6() || r.Proto == 58 && a.Is4() {
				continue // the other family
			}
			self := netip.PrefixFrom(a, a.BitLen())
			l := line{Number: 10 * (len(out) + 1), V6: a.Is6(), Source: self, Target: r.Peer, ProtoNum: r.Proto, Port: r.Port}
			if r.Server {
				l.Source, l.Target = r.Peer, self
			}
			if r.Proto != 0 {
				l.Proto = protocol(r.Proto)
			}
			l.HasPort = hasPorts(r.Proto) && r.Port != 0
			out = append(out, l)
		}
	}
	return out
}

// Write writes the plan in a dialect: how to apply it, and how to take it back.
func (p *Plan) Write(dialect string) (string, error) {
	t, err := template.New(dialect+".tmpl").Funcs(template.FuncMap{
		"v4": func(ls []line) []line { return family(ls, false) }, "v6": func(ls []line) []line { return family(ls, true) },
		"wildcard": wildcard, "host": func(x netip.Prefix) string { return short(x) },
		"stamp": func(x time.Time, layout string) string { return x.UTC().Format(layout) },
		"text":  oneLine, "seconds": func(d time.Duration) int64 { return int64(d / time.Second) },
		"upper": strings.ToUpper,
	}).ParseFS(templates, "dialect/"+dialect+".tmpl")
	if err != nil {
		return "", fmt.Errorf("write plan: got dialect %q, want one of %s", dialect, strings.Join(Dialects(), ", "))
	}
	lines := p.lines()
	if len(lines) == 0 {
		return "", fmt.Errorf("write plan: device %s has no address that the rules could name", p.Device)
	}
	var b bytes.Buffer
	err = t.Execute(&b, struct {
		*Plan
		Lines []line
	}{p, lines})
	return b.String(), err
}

func family(ls []line, v6 bool) (out []line) {
	for _, l := range ls {
		if l.V6 == v6 {
			out = append(out, l)
		}
	}
	return out
}

// oneLine keeps a device's name or an alert's text from ending a comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029':
			return ' '
		case r == '"' || r == '\\' || r == '*' || r == '/':
			return '.'
		}
		return r
	}, s)
}

// short writes a host without its prefix length.
func short(p netip.Prefix) string {
	if !p.IsValid() {
		return "any"
	}
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// wildcard writes an IPv4 prefix as Cisco's access lists do.
func wildcard(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "any"
	case p.IsSingleIP():
		return "host " + p.Addr().String()
	case p.Addr().Is6():
		return p.String()
	}
	inverse := uint32(1)<<(32-p.Bits()) - 1
	return fmt.Sprintf("%s %d.%d.%d.%d", p.Masked().Addr(), byte(inverse>>24), byte(inverse>>16), byte(inverse>>8), byte(inverse))
}
