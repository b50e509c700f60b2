package site

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

// An Observer sees the packets that pass its router.
type Observer interface {
	Observe(t packet.Train)
	Advance(now int64)
	Flush(now int64)
}

// Options choose what is simulated.
type Options struct {
	Seed      uint64
	Start     int64               // virtual time, Unix ns
	Observers map[string]Observer // by Router.Name; a device whose router is missing stays silent
	Plan      *Plan               // who lives there, nil = the Demo site
	Overlap   bool                // router A also sees what others send to the Internet
}

// Traffic counts packets and the octets of their IP length.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Octets  uint64 `json:"octets"`
}

// Sim is the site at one moment of virtual time. Equal options give equal packets.
type Sim struct {
	options Options
	civil   calendar
	nats    map[string]netip.Addr // routers that see their devices as one address
	routers []string              // those with an observer, in the order of Routers
	nodes   map[string]*node
	order   []*node
	domains map[string]Domain
	queue   queue
	pushed  uint64
	now     int64
	tick    int64 // observers have been told the time up to here
	shown   map[string]*Traffic
	labels  []*Label
	told    []Episode
}

// Interfaces of every router beside the ports 1, 2, 3 ... of its own devices.
const (
	uplink = 48
	wan    = 100
)

// upstream is the provider's router, the next hop of the gateway.
var upstream = packet.MAC{0x00, 0x1d, 0x9c, 0x00, 0x00, 0x01}

// New returns a site at o.Start, with every device set up.
func New(o Options) *Sim {
	if o.Plan == nil {
		o.Plan = Demo()
	}
	s := &Sim{options: o, nodes: map[string]*node{}, domains: map[string]Domain{}, shown: map[string]*Traffic{}, nats: map[string]netip.Addr{}, now: o.Start, tick: o.Start}
	for _, d := range s.options.Plan.Domains {
		s.domains[d.Name] = d
	}
	for _, r := range s.options.Plan.Routers {
		if o.Observers[r.Name] != nil {
			s.routers = append(s.routers, r.Name)
			s.shown[r.Name] = &Traffic{}
			if r.NAT != "" {
				s.nats[r.Name] = netip.MustParseAddr(r.NAT)
			}
		}
	}
	ports := map[string]uint16{}
	for _, d := range s.options.Plan.Devices {
		ports[d.Exporter]++
		n := newNode(d, port(ports[d.Exporter]), o.Seed, o.Start)
		s.nodes[d.Name] = n
		s.order = append(s.order, n)
	}
	for _, n := range s.order {
		switch {
		case o.Observers[n.Exporter] == nil:
		case n.Born > 0:
			s.at(o.Start+int64(n.Born), func() { s.boot(n) })
		default:
			s.settle(n)
		}
	}
	return s
}

// Address is the device's address: 10.20.VLAN.Host.
func (d Device) Address() netip.Addr {
	return netip.AddrFrom4([4]byte{10, 20, uint8(d.VLAN), d.Host})
}

// Interfaces returns the ifIndexes of a router of the Demo site.
func Interfaces(router string) []uint16 { return Demo().Interfaces(router) }

// Run lets virtual time pass up to until. What is still on its way then stays queued.
func (s *Sim) Run(until int64) {
	for len(s.queue) > 0 && s.queue[0].at < until {
		e := heap.Pop(&s.queue).(*event)
		s.advance(e.at)
		s.now = e.at
		if e.wake != nil {
			e.wake()
			continue
		}
		s.pass(e)
	}
	s.advance(until)
	s.now = until
}

// Finish makes every router export what it has; packets still on their way are never sent.
func (s *Sim) Finish() {
	for _, r := range s.routers {
		s.options.Observers[r].Flush(s.now)
	}
}

// Shown is how much traffic passed each router: the truth its records are compared with.
func (s *Sim) Shown() map[string]Traffic {
	m := map[string]Traffic{}
	for r, t := range s.shown {
		m[r] = *t
	}
	return m
}

// advance tells the routers each full second up to now.
func (s *Sim) advance(now int64) {
	for s.tick+int64(second) <= now {
		s.tick += int64(second)
		for _, r := range s.routers {
			s.options.Observers[r].Advance(s.tick)
		}
	}
}

// pass shows the router the packets of the train up to the next full second; the rest waits.
func (s *Sim) pass(e *event) {
	head := e.train.Take(e.train.Before(s.tick + int64(second)))
	s.show(e.router, head)
	if s.options.Overlap && e.router != "A" && (head.In == wan || head.Out == wan) && s.options.Observers["A"] != nil {
		s.show("A", s.atBorder(head))
	}
	if e.label != nil {
		e.label.count(&head)
	}
	if e.train.Count > 0 {
		e.at = e.train.At
		heap.Push(&s.queue, e)
	}
}

func (s *Sim) show(router string, t packet.Train) {
	if nat, ok := s.nats[router]; ok {
		switch { // what stays inside, the router never sees
		case t.Out == wan:
			t.Src, t.SrcMAC, t.In, t.VLAN = nat, s.options.Plan.Devices[0].MAC, uplink, 0
		case t.In == wan:
			t.Dst, t.DstMAC, t.Out, t.OutVLAN = nat, s.options.Plan.Devices[0].MAC, uplink, 0
		default:
			return
		}
	}
	s.options.Observers[router].Observe(t)
	s.shown[router].Packets += uint64(t.Count)
	s.shown[router].Octets += t.Octets()
}

// atBorder is the train as router A sees it on its way to or from the Internet.
func (s *Sim) atBorder(t packet.Train) packet.Train {
	gateway := s.options.Plan.Devices[0].MAC
	t.VLAN, t.OutVLAN = 0, 0
	if t.Out == wan {
		t.In, t.SrcMAC, t.DstMAC = uplink, gateway, upstream
	} else {
		t.Out, t.SrcMAC, t.DstMAC = uplink, upstream, gateway
	}
	return t
}

// at runs wake at a virtual time.
func (s *Sim) at(at int64, wake func()) { s.push(&event{at: at, wake: wake}) }

func (s *Sim) push(e *event) {
	s.pushed++
	e.seq = s.pushed
	heap.Push(&s.queue, e)
}

// event is something due: a train of packets at a router, or a device's next step.
type event struct {
	at     int64
	seq    uint64 // breaks ties, so that a run repeats itself exactly
	wake   func()
	router string
	label  *Label
	train  packet.Train
}

type queue []*event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}

// random returns a source that depends on the seed, a name and a time, and nothing else.
func random(seed uint64, name string, at int64) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, name, at)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

func dur(seconds float64) int64 { return int64(seconds * float64(time.Second)) }
