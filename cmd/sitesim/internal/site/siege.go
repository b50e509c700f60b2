package site

import (
	"net/netip"
	"slices"

	"tidemark/cmd/sitesim/internal/packet"
)

// More hosts of the attackers (RFC 5737).
var (
	vaultHost   = netip.MustParseAddr("203.0.113.150")
	visitorHost = netip.MustParseAddr("198.51.100.140")
)

// synFlood opens half connections from ports in turn, as a flood tool does.
func (a *assault) synFlood() {
	l := a.label(a.victim, packet.TCP, https)
	const ports = 1024
	rate := 2000 * a.intensity
	each := max(1, int(rate*a.Lasts.Seconds())/ports)
	for i := range ports {
		c := a.sim.converse(a.victim, a.attacker(floodHost), false, packet.TCP, https, l)
		c.up.SrcPort = uint16(1024 + i)
		c.send(a.sim.now+dur(float64(i)/rate), &c.up, each, 40, dur(ports/rate), packet.SYN)
	}
}

// reflection has the device answer requests that a third party seems to send.
func (a *assault) reflection() {
	l := a.label(a.victim, packet.UDP, 1900)
	const ports = 16
	rate := 1000 * a.intensity / ports
	for i := range ports {
		c := a.sim.converse(a.victim, a.attacker(floodHost), true, packet.UDP, 1900, l)
		c.up.SrcPort, c.down.DstPort = uint16(40000+i), uint16(40000+i)
		n := max(1, int(rate*a.Lasts.Seconds()))
		c.send(a.sim.now, &c.up, n, 120, dur(1/rate), 0)
		c.send(a.sim.now+c.rtt, &c.down, 4*n, 350, dur(1/rate/4), 0)
	}
}

// bruteOut tries logins elsewhere: 62 credentials each, as Mirai has them.
func (a *assault) bruteOut() {
	l := a.label(a.victim, packet.TCP, telnet)
	tries, target := 0, anyone(a.rng)
	a.times(300, func(at int64) {
		if tries++; tries%62 == 0 {
			target = anyone(a.rng)
		}
		a.session(at, a.victim, a.outside(target), false, telnet, l, a.vary(240), a.vary(420), 1.5)
	})
}

// dnsTunnel asks the site's resolver for names that carry data.
func (a *assault) dnsTunnel() {
	l := a.label(a.victim, packet.UDP, 53)
	const question = 200
	a.times(50e3/8*a.Lasts.Seconds()/question, func(at int64) {
		p, _ := a.sim.reach(a.victim, "gateway")
		a.sim.converse(a.victim, p, false, packet.UDP, 53, l).exchange(at, question, 260, 0)
	})
}

// exfiltrate uploads over one connection after the other.
func (a *assault) exfiltrate() {
	l := a.label(a.victim, packet.TCP, https)
	const parts = 10
	part := a.Lasts.Seconds() / parts
	for i := range parts {
		at := a.sim.now + dur(float64(i)*part)
		a.sim.at(at, func() {
			a.session(at, a.victim, a.attacker(vaultHost), false, https, l, a.vary(100e6*a.intensity/parts), a.vary(3000), .9*part)
		})
	}
}

// slowScan probes hosts so rarely that no window of minutes shows it.
func (a *assault) slowScan() {
	l := a.label(a.victim, packet.TCP, 0)
	a.times(a.Lasts.Minutes()/10, func(at int64) {
		a.sim.converse(a.victim, a.outside(anyone(a.rng)), false, packet.TCP, []uint16{22, 23, 80, 8080, 5555}[a.rng.IntN(5)], l).unanswered(at)
	})
}

// lateral has the device open what it never opened on its neighbours.
func (a *assault) lateral() {
	l := a.label(a.victim, packet.TCP, 0)
	others := slices.DeleteFunc(slices.Clone(a.sim.order), func(n *node) bool {
		return n == a.victim || n.Name == "gateway" || n.Powered.Weekday != "" || n.Born > 0
	})
	ports := []uint16{445, 80, 23, 8080}
	count := min(len(others), max(1, int(4*a.intensity)))
	for i := range count {
		k := a.rng.IntN(len(others))
		other := others[k]
		others = slices.Delete(others, k, k+1)
		at := a.sim.now + int64(a.Lasts)*int64(i)/int64(count)
		a.sim.at(at, func() {
			for j := range 3 {
				a.session(at+dur(float64(20*j)), a.victim, a.sim.local(a.victim, other), false, ports[i%len(ports)], l, a.vary(3e3), a.vary(9e3), 2)
			}
		})
	}
}

// plcWrite has a PC write to a controller.
func (a *assault) plcWrite() {
	pc := a.sim.nodes["pc-ben"]
	l := a.label(a.victim, packet.TCP, 502)
	a.times(10, func(at int64) {
		c := a.sim.converse(a.victim, a.sim.local(a.victim, pc), true, packet.TCP, 502, l)
		c.payload = 29 // Write Multiple Registers: header, address, count and eight registers
		c.finish(c.transfer(c.open(at), 29*20, 12*20, dur(8)))
	})
}

// wanAccess lets a stranger in, at a service the device offers anyway, or at its web page.
func (a *assault) wanAccess() {
	port := uint16(8443)
	for _, r := range a.victim.Routines {
		if r.Inbound && r.Do == Session {
			port = r.Port
		}
	}
	l := a.label(a.victim, packet.TCP, port)
	a.times(5, func(at int64) {
		a.session(at, a.victim, a.attacker(visitorHost), true, port, l, a.vary(2500), a.vary(60e3), 4)
	})
}

// spoof has another card speak with the device's address, now one, now the other.
func (a *assault) spoof() {
	l := a.label(a.victim, packet.UDP, 0)
	impostor := packet.MAC{0x02, 0xbb, 0xcc, a.victim.MAC[3], a.victim.MAC[4], a.victim.MAC[5]}
	a.times(10, func(at int64) {
		p, _ := a.sim.reach(a.victim, "gateway")
		for i := range 3 {
			c := a.sim.converse(a.victim, p, false, packet.UDP, 53, l)
			c.up.SrcMAC, c.down.DstMAC = impostor, impostor
			c.exchange(at+dur(float64(i)), 60, 140, 0)
		}
	})
}

// steal takes the device away and brings it back in the end.
func (a *assault) steal() {
	l := a.label(a.victim, 0, 0)
	gone := int64(float64(a.Lasts) * a.intensity)
	l.Start, l.End = instant(a.sim.now), instant(a.sim.now+gone)
	a.victim.unplug()
	a.sim.at(a.sim.now+gone, func() { a.sim.boot(a.victim) })
}

// ramp lets everything the device uploads grow day by day.
func (a *assault) ramp() {
	l := a.label(a.victim, 0, 0)
	l.Start, l.End = instant(a.sim.now), instant(a.sim.now+int64(a.Lasts))
	for i := range int(a.Lasts / day) {
		a.sim.at(a.sim.now+int64(i)*int64(day), func() { a.victim.growth *= 1 + .05*a.intensity })
	}
}

// Fits tells whether an attack makes sense on a device.
func Fits(attack string, d *Device, plan *Plan) bool {
	switch d.Class {
	case "router", "pc", "server", "nvr":
		return false
	}
	if d.Born > 0 {
		return false
	}
	cloud := slices.ContainsFunc(d.Routines, func(r Routine) bool {
		return !r.Inbound && r.State == "" && r.To != "pool.ntp.example" && r.Up.Sigma > 0 && slices.ContainsFunc(plan.Domains, func(x Domain) bool { return x.Name == r.To })
	})
	switch attack {
	case "odd-hour":
		return d.Powered.Weekday != ""
	case "plc-write":
		return d.Class == "plc"
	case "volume", "ramp":
		return cloud && d.Powered.Weekday == ""
	}
	return d.Powered.Weekday == "" && d.Class != "plc"
}

// Addresses are those the devices have now.
func (s *Sim) Addresses() map[string]netip.Addr {
	m := map[string]netip.Addr{}
	for _, n := range s.order {
		m[n.Name] = n.addr
	}
	return m
}
