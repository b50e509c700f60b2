// Package export emulates the routers of the simulated site: each watches packets go by and turns
// them into the export datagrams of its protocol, as a device of that kind would.
//
// An Exporter does no I/O and keeps no clock: Observe and Advance are told the virtual time, and
// finished datagrams go to a callback. None of it is safe for concurrent use.
package export

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

// MaxDatagram bounds the payload of an export datagram, in octets.
const MaxDatagram = 1400

// Delay is how long a finished record waits for company in its datagram.
const Delay = 15 * time.Second

// TemplateRefresh is the time between two sendings of the same templates (RFC 7011, Section 8.4).
const TemplateRefresh = 5 * time.Minute

// A Protocol names what an Exporter speaks.
type Protocol string

// The protocols emulated here.
const (
	NetFlow5 Protocol = "v5"
	NetFlow9 Protocol = "v9"
	IPFIX    Protocol = "ipfix"
	SFlow    Protocol = "sflow"
)

// Options are what an administrator would set on the router.
type Options struct {
	Protocol         Protocol
	Agent            netip.Addr // the router's own address, which sFlow carries
	Domain           uint32     // source id, observation domain, engine id or sub-agent
	Active, Inactive time.Duration
	Sampling         int      // one packet in so many, 1 = all
	Biflow           bool     // IPFIX only
	NoMAC, NoFlags   bool     // the template of v9 or IPFIX lacks MAC addresses, or TCP flags
	Interfaces       []uint16 // ifIndexes with counters (sFlow)
	Seed             uint64
}

// State is what a router keeps while its collector is away. It is all that joins two runs.
type State struct {
	Boot     int64            `json:"boot_ns"`
	Sequence uint32           `json:"sequence"`
	Sources  map[uint16]Ports `json:"sources,omitempty"`
}

// Ports is the state of one sFlow data source: an interface.
type Ports struct {
	Samples        uint32 `json:"samples"`
	Pool           uint32 `json:"pool"`
	CounterSamples uint32 `json:"counter_samples"`
	InOctets       uint64 `json:"in_octets"`
	InPackets      uint64 `json:"in_packets"`
	OutOctets      uint64 `json:"out_octets"`
	OutPackets     uint64 `json:"out_packets"`
}

// Stats count what an Exporter sent since New. Records are flow records, or flow samples of sFlow.
type Stats struct {
	Records        uint64 `json:"records"`
	Datagrams      uint64 `json:"datagrams"`
	Templates      uint64 `json:"templates,omitempty"`
	OptionsRecords uint64 `json:"options_records,omitempty"`
	CounterSamples uint64 `json:"counter_samples,omitempty"`
}

// Add counts other in.
func (s *Stats) Add(other Stats) {
	s.Records += other.Records
	s.Datagrams += other.Datagrams
	s.Templates += other.Templates
	s.OptionsRecords += other.OptionsRecords
	s.CounterSamples += other.CounterSamples
}

// A Datagram is the payload of one UDP datagram. Records counts its flow records or flow samples.
// The payload belongs to the receiver.
type Datagram struct {
	At      int64 // virtual time of sending, Unix ns
	Payload []byte
	Records int
	Marks   []uint16 // of the packets its records are about, without those of nobody
}

// An Exporter watches packets and sends datagrams.
type Exporter interface {
	// Observe shows the exporter packets, in order of time to within one second.
	Observe(t packet.Train)
	// Advance lets the timers run up to now.
	Advance(now int64)
	// Refresh puts templates into the next datagram, if the protocol has any.
	Refresh()
	// Flush ends everything in the cache and sends what is waiting.
	Flush(now int64)
	State() State
	Stats() Stats
}

// New returns an Exporter that goes on from state and sends by calling send.
func New(o Options, s State, send func(Datagram)) (Exporter, error) {
	if o.Sampling < 1 {
		return nil, fmt.Errorf("exporter %s: sampling 1 in %d, want 1 in 1 or more", o.Protocol, o.Sampling)
	}
	rng := rand.New(rand.NewPCG(o.Seed, uint64(s.Sequence)))
	switch o.Protocol {
	case NetFlow5:
		o.Biflow = false
		return newRouter(o, &netflow5{options: o, state: s}, rng, send), nil
	case NetFlow9:
		o.Biflow = false
		return newRouter(o, &netflow9{options: o, state: s, layout: o.trim(v9Template)}, rng, send), nil
	case IPFIX:
		return newRouter(o, &ipfix{options: o, state: s, uni: o.trim(ipfixUni), biflow: o.trim(ipfixBiflow), denied: o.trim(ipfixDenied)}, rng, send), nil
	case SFlow:
		return newSwitch(o, s, rng, send), nil
	}
	return nil, fmt.Errorf("exporter: unknown protocol %q", o.Protocol)
}

// trim leaves out of a template what the exporter does not tell.
func (o Options) trim(t template) template {
	t.elements = slices.DeleteFunc(slices.Clone(t.elements), func(e element) bool {
		return o.NoMAC && (e.id == 56 || e.id == 80) || o.NoFlags && e.id == 6
	})
	return t
}

// An encoder writes one datagram at a time and keeps the protocol's sequence number.
type encoder interface {
	// encode writes a datagram with as many of the records as fit and says how many that is.
	encode(now int64, recs []record, st *Stats) ([]byte, int)
	keep() State
	// refresh has the next datagram carry templates.
	refresh()
}

// router is a metering process with an exporting process behind it: NetFlow and IPFIX.
type router struct {
	meter   *meter
	enc     encoder
	sampler *sampler
	send    func(Datagram)
	queue   []record
	oldest  int64 // when the first record of the queue entered it
	now     int64
	stats   Stats
}

// enough records for any datagram; the encoder takes what fits.
const enough = MaxDatagram / 40

func newRouter(o Options, enc encoder, rng *rand.Rand, send func(Datagram)) *router {
	r := &router{enc: enc, sampler: newSampler(o.Sampling, rng), send: send}
	r.meter = newMeter(o, func(f record) {
		if len(r.queue) == 0 {
			r.oldest = r.now
		}
		r.queue = append(r.queue, f)
	})
	return r
}

func (r *router) Observe(t packet.Train) {
	if r.sampler.n == 1 {
		r.meter.observe(t)
		return
	}
	for i := range r.sampler.pick(t.Count) {
		one := t
		one.At, one.Count = t.Time(i), 1
		r.meter.observe(one)
	}
}

func (r *router) Advance(now int64) {
	r.now = now
	r.meter.expire(now)
	for len(r.queue) >= enough || len(r.queue) > 0 && now-r.oldest >= int64(Delay) {
		r.export(now)
	}
}

func (r *router) Refresh() { r.enc.refresh() }

func (r *router) Flush(now int64) {
	r.now = now
	r.meter.flush()
	for len(r.queue) > 0 {
		r.export(now)
	}
}

func (r *router) export(now int64) {
	payload, n := r.enc.encode(now, r.queue[:min(enough, len(r.queue))], &r.stats)
	var marks []uint16
	for i := range r.queue[:n] {
		marks = mark(marks, r.queue[i].Mark)
	}
	r.queue = append(r.queue[:0], r.queue[n:]...)
	r.stats.Records += uint64(n)
	r.stats.Datagrams++
	r.send(Datagram{At: now, Payload: payload, Records: n, Marks: marks})
}

// mark adds a mark that is not there yet.
func mark(marks []uint16, m uint16) []uint16 {
	if m == 0 || slices.Contains(marks, m) {
		return marks
	}
	return append(marks, m)
}

func (r *router) State() State { return r.enc.keep() }
func (r *router) Stats() Stats { return r.stats }

// sampler picks each packet with probability 1/n, by drawing how many packets to skip.
type sampler struct {
	n    int
	skip int
	rng  *rand.Rand
}

func newSampler(n int, rng *rand.Rand) *sampler {
	s := &sampler{n: n, rng: rng}
	s.draw()
	return s
}

// draw sets skip to a geometric random number, which makes the choice of each packet independent.
func (s *sampler) draw() {
	if s.n > 1 {
		s.skip = int(math.Log(1-s.rng.Float64()) / math.Log1p(-1/float64(s.n)))
	}
}

// pick yields the positions of the sampled ones among the next count packets.
func (s *sampler) pick(count int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		i := s.skip
		for i < count {
			if !yield(i) {
				return
			}
			s.draw()
			i += 1 + s.skip
		}
		s.skip = i - count
	}
}

// uptime is the SysUptime of NetFlow and sFlow: milliseconds since the exporter started.
func uptime(boot, at int64) uint32 { return uint32((at - boot) / int64(time.Millisecond)) }
