package site

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"tidemark/cmd/sitesim/internal/packet"
)

// Hosts of the attackers, from the documentation ranges of RFC 5737.
var (
	dropHost  = netip.MustParseAddr("198.51.100.77")
	c2Host    = netip.MustParseAddr("198.51.100.23")
	probeHost = netip.MustParseAddr("203.0.113.99")
	loginHost = netip.MustParseAddr("203.0.113.45")
	floodHost = netip.MustParseAddr("203.0.113.200")
)

// Ports the attacks use.
const (
	ssh         = 22
	telnet      = 23
	telnetOther = 2323
	https       = 443
)

// assault is one attack under way. It draws its own random numbers, so that adding one leaves other devices' lives as they were.
type assault struct {
	Attack
	sim       *Sim
	victim    *node
	rng       *rand.Rand
	intensity float64
	level     int
	camp      int
}

// label opens the record of what this attack does to, or with, a device.
func (a *assault) label(n *node, proto uint8, port uint16) *Label {
	l := &Label{
		Attack: a.Name, Device: n.Name, MAC: n.MAC.String(), IP: n.addr.String(), Exporter: n.Exporter,
		Protocol: proto, Port: port, Intensity: a.intensity, Level: a.level, addr: n.addr, met: map[netip.Addr]bool{},
	}
	a.sim.labels = append(a.sim.labels, l)
	l.mark = uint16(len(a.sim.labels))
	return l
}

// times does something count times, scaled by the intensity, evenly over the attack with some jitter.
func (a *assault) times(count float64, do func(at int64)) {
	n := max(1, int(count*a.intensity+.5))
	gap := float64(a.Lasts) / float64(n)
	for i := range n {
		at := a.sim.now + int64(gap*(float64(i)+.2*a.rng.Float64()))
		a.sim.at(at, func() { do(at) })
	}
}

// session is one TCP session from beginning to end.
func (a *assault) session(at int64, n *node, p peer, inbound bool, port uint16, l *Label, up, down int, seconds float64) {
	c := a.sim.converse(n, p, inbound, packet.TCP, port, l)
	c.finish(c.transfer(c.open(at), up, down, dur(seconds)))
}

// vary is a size around the given one.
func (a *assault) vary(octets float64) int { return int(octets * (.85 + .3*a.rng.Float64())) }

func (a *assault) outside(addr netip.Addr) peer { return a.sim.external(a.victim, addr, dur(.045)) }

// attacker is a host of the attackers' from the documentation ranges; those of another camp than the
// first have it in networks of their own.
func (a *assault) attacker(host netip.Addr) peer {
	if a.camp > 0 {
		b := host.As4()
		home := anyone(random(a.sim.options.Seed, fmt.Sprintf("camp %d of %d.%d.%d", a.camp, b[0], b[1], b[2]), 0)).As4()
		host = netip.AddrFrom4([4]byte{home[0], home[1], home[2], b[3]})
	}
	return a.outside(host)
}

func (a *assault) newDestination() {
	l := a.label(a.victim, packet.TCP, https)
	a.times(60, func(at int64) {
		a.session(at, a.victim, a.attacker(dropHost), false, https, l, a.vary(700e3), a.vary(1200), 0)
	})
}

func (a *assault) newService() {
	pc := a.sim.nodes["pc-ben"]
	l := a.label(a.victim, packet.TCP, telnet)
	a.times(5, func(at int64) {
		a.session(at, a.victim, a.sim.local(a.victim, pc), true, telnet, l, a.vary(600), a.vary(4000), 60)
	})
}

// refusedAccess has a host outside and a PC inside try what nobody lets them.
func (a *assault) refusedAccess() {
	pc := a.sim.nodes["pc-ben"]
	for _, try := range []struct {
		device string
		inside bool
		ending func(c *conversation, at int64)
	}{
		{"thermostat", false, (*conversation).denied},
		{"printer", false, (*conversation).denied},
		{"plc", true, (*conversation).unanswered},
		{"cam-entrance", true, (*conversation).refused},
	} {
		n := a.sim.nodes[try.device]
		if a.sim.options.Observers[n.Exporter] == nil {
			continue
		}
		from := a.sim.external(n, probeHost, dur(.045))
		if try.inside {
			from = a.sim.local(n, pc)
		}
		l := a.label(n, packet.TCP, 0)
		port := uint16(telnet)
		a.times(20, func(at int64) {
			try.ending(a.sim.converse(n, from, true, packet.TCP, port, l), at)
			port = telnet + ssh - port // the other one next time
		})
	}
}

// denied is a connection a firewall drops: the client tries again and gives up.
func (c *conversation) denied(at int64) {
	c.up.Denied, c.up.Out = true, 0
	c.unanswered(at)
}

// unanswered is a connection nobody answers: SYN, and twice again.
func (c *conversation) unanswered(at int64) {
	for _, wait := range []float64{0, 1, 3} {
		c.send(at+dur(wait), &c.up, 1, synSize, 0, packet.SYN)
	}
}

// refused is a connection to a closed port.
func (c *conversation) refused(at int64) {
	c.send(at, &c.up, 1, synSize, 0, packet.SYN)
	c.send(at+c.rtt, &c.down, 1, 40, 0, packet.RST|packet.ACK)
}

// scan sends single SYNs to random hosts from one source port each, as Mirai's scanner does; few of
// them answer.
func (a *assault) scan() {
	n := a.victim
	rate := 160 * a.intensity
	count := int(rate * a.Lasts.Seconds())
	l := a.label(n, packet.TCP, 0)
	for i := range count {
		at := a.sim.now + dur((float64(i)+a.rng.Float64())/rate)
		p := a.sim.external(n, anyone(a.rng), dur(.06))
		if i%3 == 0 {
			p.addr = netip.AddrFrom4([4]byte{10, 20, uint8(10 * (1 + a.rng.IntN(5))), uint8(90 + a.rng.IntN(160))})
			p.ifIndex = uplink
		}
		port := uint16(telnet)
		if i%11 == 10 {
			port = telnetOther
		}
		c := a.sim.converse(n, p, false, packet.TCP, port, l)
		switch a.rng.IntN(50) {
		case 0:
			c.refused(at)
		case 1:
			c.finish(c.transfer(c.open(at), 60, 120, 0))
		default:
			c.send(at, &c.up, 1, 40, 0, packet.SYN)
		}
	}
}

// anyone is a random public address.
func anyone(rng *rand.Rand) netip.Addr {
	for {
		v := rng.Uint32()
		addr := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		first := v >> 24
		if first != 0 && first != 127 && first < 224 && !addr.IsPrivate() && !addr.IsLinkLocalUnicast() {
			return addr
		}
	}
}

// volume sends too much to the peer the device sends most to anyway.
func (a *assault) volume() {
	n, to, usual := a.victim, "", 0.0
	for i := range n.Routines {
		r := &n.Routines[i]
		if _, ok := a.sim.domains[r.To]; ok && n.hourly(r.To) > usual {
			to, usual = r.To, n.hourly(r.To)
		}
	}
	if to == "" {
		return // a device without a cloud
	}
	l := a.label(n, packet.TCP, https)
	a.times(50, func(int64) {
		p, at := a.sim.reach(n, to)
		a.session(at, n, p, false, https, l, a.vary(usual), a.vary(1500), 0)
	})
}

// oddHour has the device do what it does by day.
func (a *assault) oddHour() {
	n, end := a.victim, a.sim.now+int64(a.Lasts)
	for i := range n.Routines {
		r := &n.Routines[i]
		if r.To == "gateway" || r.Do == Announce || r.Inbound {
			continue
		}
		l := a.label(n, r.transport(), r.Port)
		var kept *conversation
		var step func()
		step = func() {
			if a.sim.now >= end {
				return
			}
			kept = a.sim.perform(n, r, kept, l)
			a.sim.at(a.sim.now+max(int64(second), int64(float64(n.pause(i))/a.intensity)), step)
		}
		a.sim.at(a.sim.now+dur(60*a.rng.Float64()), step)
	}
}

func (a *assault) bruteForce() {
	l := a.label(a.victim, packet.TCP, ssh)
	a.times(300, func(at int64) {
		a.session(at, a.victim, a.attacker(loginHost), true, ssh, l, a.vary(1800), a.vary(2300), 1.5)
	})
}

func (a *assault) beacon() {
	l := a.label(a.victim, packet.TCP, https)
	a.times(360, func(at int64) {
		a.session(at, a.victim, a.attacker(c2Host), false, https, l, a.vary(420), a.vary(300), 0)
	})
}

func (a *assault) ddos() {
	l := a.label(a.victim, packet.UDP, 80)
	const streams = 8
	rate := 2000 * a.intensity / streams
	for range streams {
		c := a.sim.converse(a.victim, a.attacker(floodHost), false, packet.UDP, 80, l)
		c.send(a.sim.now, &c.up, int(rate*a.Lasts.Seconds()), 540, dur(1/rate), 0)
	}
}

func (r *Routine) transport() uint8 {
	if r.Do == Session || r.Do == Held {
		return packet.TCP
	}
	return r.protocol()
}
