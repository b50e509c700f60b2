package names

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// A message may claim 65,535 records; more than these are not looked at.
const (
	maxQuestions = 4
	maxAnswers   = 32
)

// message is a DNS message as far as it is whole.
type message struct {
	dnsmessage.Header
	questions []string
	answers   []answer
	malformed bool
}

type answer struct {
	name   string
	kind   dnsmessage.Type
	addr   netip.Addr // A, AAAA
	target string     // PTR
}

// parse reads as much of a DNS message as there is. The parser of x/net follows
// at most ten compression pointers of a name, and none forward.
func parse(payload []byte) (m message) {
	var p dnsmessage.Parser
	var err error
	if m.Header, err = p.Start(payload); err != nil {
		m.malformed = true
		return m
	}
	for len(m.questions) < maxQuestions {
		q, err := p.Question()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			m.malformed = !cut(payload, err)
			return m
		}
		m.questions = append(m.questions, text(q.Name))
	}
	if p.SkipAllQuestions() != nil {
		return m
	}
	for len(m.answers) < maxAnswers {
		h, err := p.AnswerHeader()
		if err != nil {
			m.malformed = !errors.Is(err, dnsmessage.ErrSectionDone) && !cut(payload, err)
			return m
		}
		a := answer{name: text(h.Name), kind: h.Type}
		switch h.Type {
		case dnsmessage.TypeA:
			var v dnsmessage.AResource
			v, err = p.AResource()
			a.addr = netip.AddrFrom4(v.A)
		case dnsmessage.TypeAAAA:
			var v dnsmessage.AAAAResource
			v, err = p.AAAAResource()
			a.addr = netip.AddrFrom16(v.AAAA)
		case dnsmessage.TypePTR:
			var v dnsmessage.PTRResource
			v, err = p.PTRResource()
			a.target = text(v.PTR)
		default:
			err = p.SkipAnswer()
		}
		if err != nil {
			m.malformed = !cut(payload, err)
			return m
		}
		m.answers = append(m.answers, a)
	}
	return m
}

// cut says whether an error may be just the end of the sample.
func cut(payload []byte, err error) bool {
	return len(payload) >= shortSample && strings.Contains(err.Error(), "insufficient data") // x/net exports no error for it
}

// shortSample: a payload shorter than this was hardly cut by sampling.
const shortSample = 64

func text(n dnsmessage.Name) string {
	return strings.ToLower(strings.TrimSuffix(n.String(), "."))
}

// dns reads a query of, or an answer to, a client of a resolver.
func (r *reader) dns(payload []byte) bool {
	m := parse(payload)
	if len(m.questions) == 0 || m.OpCode != 0 {
		return m.malformed
	}
	name := m.questions[0]
	if !domain(name) {
		return m.malformed
	}
	if !m.Response {
		r.say(r.src(), Domain, DNS, name)
		return m.malformed
	}
	if m.RCode != dnsmessage.RCodeSuccess {
		return m.malformed
	}
	r.say(r.dst(), Domain, DNS, name)
	for _, a := range m.answers {
		if a.addr.IsValid() && !a.addr.IsUnspecified() && !a.addr.IsLoopback() {
			r.say(Observation{Addr: netip.AddrFrom16(a.addr.As16())}, Address, DNS, name)
		}
	}
	return m.malformed
}

// mdns reads multicast DNS (RFC 6762) and service discovery in it (RFC 6763).
func (r *reader) mdns(payload []byte) bool {
	m := parse(payload)
	for _, q := range m.questions {
		if t := serviceType(q); t != "" && !m.Response {
			r.say(r.src(), Discovery, MDNS, t)
		}
	}
	if !m.Response {
		return m.malformed
	}
	for _, a := range m.answers {
		switch a.kind {
		case dnsmessage.TypeA, dnsmessage.TypeAAAA:
			if host, ok := strings.CutSuffix(a.name, ".local"); ok && !strings.Contains(host, ".") {
				r.say(r.src(), Hostname, MDNS, host)
			}
		case dnsmessage.TypePTR, dnsmessage.TypeSRV, dnsmessage.TypeTXT:
			if t := serviceType(a.name); t != "" {
				r.say(r.src(), Discovery, MDNS, t)
			}
			if t := serviceType(a.target); strings.HasPrefix(a.name, "_services._dns-sd.") && t != "" {
				r.say(r.src(), Discovery, MDNS, t)
			}
		}
	}
	return m.malformed
}

// serviceType is "_ipp._tcp" of "printer._ipp._tcp.local".
func serviceType(name string) string {
	labels := strings.Split(name, ".")
	for i := len(labels) - 1; i > 0; i-- {
		if (labels[i] == "_tcp" || labels[i] == "_udp") && strings.HasPrefix(labels[i-1], "_") {
			if t := labels[i-1] + "." + labels[i]; t != "_dns-sd._udp" {
				return t
			}
		}
	}
	return ""
}

// llmnr: who answers has the name (RFC 4795).
func (r *reader) llmnr(payload []byte) bool {
	m := parse(payload)
	if m.Response && len(m.questions) == 1 && !strings.Contains(m.questions[0], ".") {
		r.say(r.src(), Hostname, LLMNR, m.questions[0])
	}
	return m.malformed
}

// netbios: who registers a name calls itself so (RFC 1002, Section 4.2.2); names
// are written in half octets (RFC 1001, Section 14.1), the last octet says what
// of: 0x00 a workstation, 0x20 a file server.
func (r *reader) netbios(payload []byte) bool {
	m := parse(payload)
	const registration, refresh = 5, 8
	if m.Response || m.OpCode != registration && m.OpCode != refresh || len(m.questions) != 1 {
		return m.malformed
	}
	coded, _, _ := strings.Cut(m.questions[0], ".")
	if len(coded) != 32 {
		return true
	}
	var plain [16]byte
	for i := range plain {
		high, low := coded[2*i]-'a', coded[2*i+1]-'a'
		if high > 15 || low > 15 {
			return true
		}
		plain[i] = high<<4 | low
	}
	if suffix := plain[15]; suffix == 0x00 || suffix == 0x20 {
		r.say(r.src(), Hostname, NetBIOS, strings.TrimRight(string(plain[:15]), " \x00"))
	}
	return m.malformed
}
