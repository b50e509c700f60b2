package collector

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// Stranger is a sender that is not on Config.Allow, heard for the first time
// that day from its network.
type Stranger struct {
	Network netip.Prefix // /24 or /64; the invalid prefix: more networks than are told apart
	Address netip.AddrPort
	Time    time.Time
}

const (
	// maxStrangers bounds the networks told of in a day: a sender can make up
	// any number of addresses.
	maxStrangers    = 256
	secondsInDay    = 24 * 60 * 60
	strangersQueued = 16
)

// strangers tells of each network once a day.
type strangers struct {
	mu   sync.Mutex
	day  int64
	told map[netip.Prefix]bool
	tell chan Stranger
}

func newStrangers() *strangers {
	return &strangers{told: map[netip.Prefix]bool{}, tell: make(chan Stranger, strangersQueued)}
}

// heard takes note of a datagram or connection that was refused at the time
// received (ns). It does not wait: a network for which there is no room in the
// channel is told of at its next datagram.
func (s *strangers) heard(from netip.AddrPort, received int64) {
	bits := 24
	if from.Addr().Is6() {
		bits = 64
	}
	network, _ := from.Addr().Prefix(bits)
	s.mu.Lock()
	defer s.mu.Unlock()
	if day := received / (secondsInDay * 1e9); day != s.day {
		s.day = day
		clear(s.told)
	}
	if len(s.told) >= maxStrangers && !s.told[network] {
		network = netip.Prefix{}
	}
	if s.told[network] {
		return
	}
	select {
	case s.tell <- Stranger{Network: network, Address: from, Time: time.Unix(0, received).UTC()}:
		s.told[network] = true
	default:
	}
}

// tellStrangers hands strangers to Deps.Stranger until ctx ends, and then those left.
func (c *Collector) tellStrangers(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			for len(c.strangers.tell) > 0 {
				c.tellStranger(<-c.strangers.tell)
			}
			return
		case s := <-c.strangers.tell:
			c.tellStranger(s)
		}
	}
}

func (c *Collector) tellStranger(s Stranger) {
	e := c.deps.Log.Warn().Stringer("address", s.Address)
	if s.Network.IsValid() {
		e = e.Stringer("network", s.Network)
	}
	e.Msg("a sender is not on collector.allow: what it sends is shed; told once a day and network")
	if c.deps.Stranger != nil {
		c.deps.Stranger(s)
	}
}
