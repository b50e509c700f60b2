package site

import (
	"math"
	"math/rand/v2"
	"net/netip"

	"tidemark/cmd/sitesim/internal/packet"
)

// node is a device at work.
type node struct {
	Device
	addr     netip.Addr
	port     uint16     // ifIndex on its router
	rng      *rand.Rand // what happens; another one after each start
	scale    float64    // of every size, drawn once from the seed
	tempo    float64    // of every period
	growth   float64    // of what it sends, 1 unless something makes it grow
	power    int        // counts changes of power: a step planned before one is void
	turn     int        // counts changes of state, likewise
	lastPort uint16
	answers  map[string]answer
	held     map[int]*conversation // by routine
}

// answer is a cached DNS answer.
type answer struct {
	addr    netip.Addr
	expires int64
}

func newNode(d Device, port uint16, seed uint64, start int64) *node {
	nature := random(seed, d.Name, 0)
	return &node{
		Device: d, addr: d.Address(), port: port,
		scale: 0.8 + 0.4*nature.Float64(), tempo: 0.9 + 0.2*nature.Float64(),
		rng: random(seed, d.Name, start), growth: 1,
		lastPort: uint16(32768 + nature.IntN(20000)),
		answers:  map[string]answer{}, held: map[int]*conversation{},
	}
}

// settle puts a device on the network at the start of a run.
func (s *Sim) settle(n *node) {
	switch {
	case n.Powered.Weekday == "":
		s.switchOn(n, 0)
	case n.Powered.Weight(s.civil.local(s.now)) > 0:
		s.switchOn(n, s.boundary(n, false))
	default:
		s.at(s.boundary(n, true)+dur(60+540*n.rng.Float64()), func() { s.boot(n) })
	}
}

// boundary is the next full hour at which the device is switched on, or off.
func (s *Sim) boundary(n *node, on bool) int64 {
	at := s.now - s.now%int64(hour)
	for {
		at += int64(hour)
		if (n.Powered.Weight(s.civil.local(at)) > 0) == on {
			return at
		}
	}
}

// boot switches the device on and has it ask for an address (RFC 2131, from 0.0.0.0).
func (s *Sim) boot(n *node) {
	c := s.announcement(n, "255.255.255.255", 67)
	c.up.Src = netip.IPv4Unspecified()
	c.send(s.now, &c.up, 1, 328, 0, 0)
	c.send(s.now+dur(.8), &c.up, 1, 340, 0, 0)
	off := int64(0)
	if n.Powered.Weekday != "" {
		off = s.boundary(n, false)
	}
	s.switchOn(n, off)
}

// switchOn starts the device's routines; it goes off some minutes before off, 0 = never, so that
// not even a late acknowledgement is seen in an hour when it is off.
func (s *Sim) switchOn(n *node, off int64) {
	n.power++
	for i := range n.Routines {
		if n.Routines[i].State == "" {
			s.plan(n, i, &n.power, s.now+int64(n.rng.Float64()*float64(n.period(i))))
		}
	}
	if len(n.States) > 0 {
		s.enter(n, 0)
	}
	if off != 0 {
		on := n.power
		s.at(max(s.now, off-dur(600+600*n.rng.Float64())), func() {
			if n.power != on {
				return // switched off and on again meanwhile
			}
			n.unplug()
			s.at(s.boundary(n, true)+dur(60+540*n.rng.Float64()), func() { s.boot(n) })
		})
	}
}

// unplug makes the device silent until boot.
func (n *node) unplug() {
	n.power++
	n.turn++
	clear(n.held)
	clear(n.answers)
}

// enter puts the device into a state and plans its leaving.
func (s *Sim) enter(n *node, state int) {
	n.turn++
	now, power := n.States[state], n.power
	for i := range n.Routines {
		if n.Routines[i].State == now.Name {
			delete(n.held, i)
			s.plan(n, i, &n.turn, s.now+dur(2*n.rng.Float64()))
		}
	}
	next := now.Next[n.rng.IntN(len(now.Next))]
	s.at(now.Hours.after(s.now, dur(now.Dwell.draw(n.rng)), s.civil), func() {
		if n.power == power {
			s.enter(n, n.state(next))
		}
	})
}

func (n *node) state(name string) int {
	for i := range n.States {
		if n.States[i].Name == name {
			return i
		}
	}
	return 0
}

func (n *node) period(i int) int64 {
	r := &n.Routines[i]
	return int64(float64(r.Every+r.Poisson) * n.tempo)
}

// pause draws the time to the routine's next turn.
func (n *node) pause(i int) int64 {
	r := &n.Routines[i]
	if r.Poisson > 0 {
		return int64(n.rng.ExpFloat64() * float64(n.period(i)))
	}
	if r.Lasts.Median > 0 && r.Lasts.Sigma == 0 {
		return int64(r.Every) // a stream without gaps
	}
	return int64(float64(n.period(i)) * max(.1, 1+r.Jitter*n.rng.NormFloat64()))
}

// plan runs the routine at a time and ever after, as long as *epoch stays what it is.
func (s *Sim) plan(n *node, i int, epoch *int, at int64) {
	planned := *epoch
	s.at(at, func() {
		if *epoch != planned {
			return
		}
		if w := n.Routines[i].Hours.Weight(s.civil.local(s.now)); w == 1 || n.rng.Float64() < w {
			n.held[i] = s.perform(n, &n.Routines[i], n.held[i], nil)
		}
		s.plan(n, i, epoch, s.now+n.pause(i))
	})
}

// perform does a routine once. kept is the connection it left open last time, if any; what it
// leaves open now is returned.
func (s *Sim) perform(n *node, r *Routine, kept *conversation, label *Label) *conversation {
	up, down, lasts := r.draw(n)
	switch r.Do {
	case Announce:
		c := s.announcement(n, r.To, r.Port)
		c.label = label
		c.exchange(s.now, up, 0, 0)
		return nil
	case Exchange, Ping:
		p, at := s.reach(n, r.To)
		c := s.converse(n, p, r.Inbound, r.protocol(), r.Port, label)
		c.payload = int(r.Packet)
		c.exchange(at, up, down, lasts)
		return nil
	}
	at := s.now
	if kept != nil && n.rng.Float64() < float64(r.Every)/float64(36*hour) {
		kept.finish(at) // connections end now and then
		kept = nil
	}
	if kept == nil {
		var p peer
		p, at = s.reach(n, r.To)
		kept = s.converse(n, p, r.Inbound, packet.TCP, r.Port, label)
		kept.payload = int(r.Packet)
		at = kept.open(at)
	}
	at = kept.transfer(at, up, down, lasts)
	if r.Do == Held {
		return kept
	}
	kept.finish(at)
	return nil
}

func (r *Routine) protocol() uint8 {
	if r.Do == Ping {
		return packet.ICMP
	}
	return packet.UDP
}

// draw decides how many octets go up and down this time, and for how long.
func (r *Routine) draw(n *node) (up, down int, lasts int64) {
	u, d := r.Up.draw(n.rng), r.Down.draw(n.rng)
	if r.Up.Sigma > 0 {
		u *= n.scale
	}
	if r.Down.Sigma > 0 {
		d *= n.scale
	}
	if r.Lasts.Median > 0 {
		seconds := min(r.Lasts.draw(n.rng), 600)
		lasts = dur(seconds)
		if r.Rate {
			u, d = u*seconds, d*seconds
		}
	}
	if r.Inbound {
		d *= n.growth
	} else {
		u *= n.growth
	}
	return int(math.Round(u)), int(math.Round(d)), lasts
}

// hourly is the expected number of octets the device sends to a peer in an hour.
func (n *node) hourly(to string) (octets float64) {
	for i := range n.Routines {
		r := &n.Routines[i]
		if r.To != to || r.Inbound || r.State != "" {
			continue
		}
		octets += r.Up.mean() * n.scale * float64(hour) / float64(n.period(i))
	}
	return octets
}
