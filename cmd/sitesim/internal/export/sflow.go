package export

import (
	"math/rand/v2"
	"slices"
	"time"

	"tidemark/cmd/sitesim/internal/packet"
)

// CounterInterval is the time between two counter samples of an interface.
const CounterInterval = time.Minute

// Formats of the sFlow version 5 specification, enterprise 0.
const (
	flowSample      = 1
	counterSample   = 2
	rawHeader       = 1
	extendedSwitch  = 1001
	genericCounters = 1
	headerBytes     = 128 // of a sampled packet
)

// sflowSwitch is an sFlow agent. Each interface is a data source with its own random sampling of the
// packets that enter by it, and its own sample sequence and pool.
type sflowSwitch struct {
	options Options
	state   State
	rng     *rand.Rand
	send    func(Datagram)
	sources map[uint16]*source
	samples []byte // encoded and waiting
	held    int    // samples of any kind in samples
	flows   int    // flow samples in samples
	marks   []uint16
	oldest  int64
	counted int64 // when counters were last sent
	now     int64
	stats   Stats
}

type source struct {
	Ports
	sampler *sampler
}

func newSwitch(o Options, s State, rng *rand.Rand, send func(Datagram)) *sflowSwitch {
	w := &sflowSwitch{options: o, state: s, rng: rng, send: send, sources: map[uint16]*source{}}
	for _, ifIndex := range o.Interfaces {
		w.source(ifIndex)
	}
	return w
}

func (w *sflowSwitch) source(ifIndex uint16) *source {
	s := w.sources[ifIndex]
	if s == nil {
		s = &source{Ports: w.state.Sources[ifIndex], sampler: newSampler(w.options.Sampling, w.rng)}
		w.sources[ifIndex] = s
	}
	return s
}

func (w *sflowSwitch) Observe(t packet.Train) {
	in := w.source(t.In)
	in.InPackets += uint64(t.Count)
	in.InOctets += t.Octets() + 18*uint64(t.Count) // Ethernet header and FCS
	if t.Out != 0 {
		out := w.source(t.Out)
		out.OutPackets += uint64(t.Count)
		out.OutOctets += t.Octets() + 18*uint64(t.Count)
	}
	before := in.Pool
	for i := range in.sampler.pick(t.Count) {
		in.Pool = before + uint32(i) + 1
		w.appendFlowSample(in, &t)
	}
	in.Pool = before + uint32(t.Count)
}

func (w *sflowSwitch) Advance(now int64) {
	w.now = now
	if now-w.counted >= int64(CounterInterval) {
		w.counted = now
		w.appendCounters()
	}
	if w.held > 0 && now-w.oldest >= int64(time.Second) {
		w.export()
	}
}

// Refresh does nothing: samples need no templates.
func (w *sflowSwitch) Refresh() {}

func (w *sflowSwitch) Flush(now int64) {
	w.now = now
	if w.held > 0 {
		w.export()
	}
}

func (w *sflowSwitch) State() State {
	s := w.state
	s.Sources = map[uint16]Ports{}
	for ifIndex, p := range w.sources {
		s.Sources[ifIndex] = p.Ports
	}
	return s
}

func (w *sflowSwitch) Stats() Stats { return w.stats }

// sflowHeader is the length of the datagram header with an IPv4 agent address.
const sflowHeader = 28

func (w *sflowSwitch) export() {
	agent := w.options.Agent.As4()
	b := make([]byte, 0, sflowHeader+len(w.samples))
	b = be.AppendUint32(b, 5)
	b = be.AppendUint32(b, 1) // the agent's address is IPv4
	b = append(b, agent[:]...)
	b = be.AppendUint32(b, w.options.Domain)
	b = be.AppendUint32(b, w.state.Sequence)
	b = be.AppendUint32(b, uptime(w.state.Boot, w.now))
	b = be.AppendUint32(b, uint32(w.held))
	b = append(b, w.samples...)
	w.state.Sequence++
	w.stats.Datagrams++
	w.stats.Records += uint64(w.flows)
	w.send(Datagram{At: w.now, Payload: b, Records: w.flows, Marks: w.marks})
	w.marks = nil
	w.samples, w.held, w.flows = w.samples[:0], 0, 0
}

// begin makes room for a sample of n octets and starts it.
func (w *sflowSwitch) begin(format uint32, n int) {
	if w.held > 0 && sflowHeader+len(w.samples)+n > MaxDatagram {
		w.export()
	}
	if w.held == 0 {
		w.oldest = w.now
	}
	w.held++
	w.samples = be.AppendUint32(w.samples, format)
	w.samples = be.AppendUint32(w.samples, uint32(n-8))
}

func (w *sflowSwitch) appendFlowSample(in *source, t *packet.Train) {
	header := appendFrame(make([]byte, 0, headerBytes+4), t)
	length := len(header)
	for len(header)%4 != 0 {
		header = append(header, 0)
	}
	w.begin(flowSample, 8+32+8+16+len(header)+8+16)
	w.flows++
	w.marks = mark(w.marks, t.Mark)
	in.Samples++
	b := w.samples
	for _, v := range []uint32{in.Samples, uint32(t.In), uint32(w.options.Sampling), in.Pool, 0, uint32(t.In), uint32(t.Out), 2} {
		b = be.AppendUint32(b, v)
	}
	frame := max(64, 14+t.Size+4) // on the wire, with the FCS that was stripped
	for _, v := range []uint32{rawHeader, uint32(16 + len(header)), 1, uint32(frame), 4, uint32(length)} {
		b = be.AppendUint32(b, v)
	}
	b = append(b, header...)
	for _, v := range []uint32{extendedSwitch, 16, uint32(t.VLAN), 0, uint32(t.OutVLAN), 0} {
		b = be.AppendUint32(b, v)
	}
	w.samples = b
}

// appendCounters writes one counter sample per interface: generic interface counters, 88 octets.
func (w *sflowSwitch) appendCounters() {
	interfaces := make([]uint16, 0, len(w.sources))
	for ifIndex := range w.sources {
		interfaces = append(interfaces, ifIndex)
	}
	slices.Sort(interfaces)
	for _, ifIndex := range interfaces {
		s := w.sources[ifIndex]
		w.begin(counterSample, 8+12+8+88)
		s.CounterSamples++
		w.stats.CounterSamples++
		b := w.samples
		for _, v := range []uint32{s.CounterSamples, uint32(ifIndex), 1, genericCounters, 88, uint32(ifIndex), 6} { // 6 = ethernetCsmacd
			b = be.AppendUint32(b, v)
		}
		b = be.AppendUint64(b, 1e9) // ifSpeed, bit/s
		b = be.AppendUint32(b, 1)   // full duplex
		b = be.AppendUint32(b, 3)   // admin and oper up
		b = be.AppendUint64(b, s.InOctets)
		b = be.AppendUint32(b, uint32(s.InPackets))
		b = append(b, make([]byte, 5*4)...) // multicast, broadcast, discards, errors, unknown
		b = be.AppendUint64(b, s.OutOctets)
		b = be.AppendUint32(b, uint32(s.OutPackets))
		b = append(b, make([]byte, 5*4)...) // multicast, broadcast, discards, errors, promiscuous
		w.samples = b
	}
}

// appendFrame writes the first octets of a packet of the train, from the Ethernet header on. The
// payload, of which the sampled header may show some, is zeros.
func appendFrame(b []byte, t *packet.Train) []byte {
	b = append(b, t.DstMAC[:]...)
	b = append(b, t.SrcMAC[:]...)
	b = append(b, 0x08, 0x00)
	ip := len(b)
	src, dst := t.Src.As4(), t.Dst.As4()
	b = append(b, 0x45, t.TOS)
	b = be.AppendUint16(b, uint16(t.Size))
	b = append(b, 0, 0, 0x40, 0, 64, t.Proto, 0, 0) // id, do not fragment, TTL, protocol, checksum
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	be.PutUint16(b[ip+10:], checksum(b[ip:]))
	switch t.Proto {
	case packet.TCP:
		b = be.AppendUint16(be.AppendUint16(b, t.SrcPort), t.DstPort)
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, t.Flags, 0xff, 0xff, 0, 0, 0, 0) // sequence, acknowledgement, offset, window
	case packet.UDP:
		b = be.AppendUint16(be.AppendUint16(b, t.SrcPort), t.DstPort)
		b = be.AppendUint16(b, uint16(t.Size-20))
		b = append(b, 0, 0)
	case packet.ICMP:
		b = append(be.AppendUint16(b, t.DstPort), 0, 0, 0, 0, 0, 0)
	}
	shown := min(headerBytes, 14+t.Size)
	return append(b, make([]byte, max(0, shown-len(b)))...)
}

// checksum is that of an IPv4 header (RFC 1071).
func checksum(h []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(h); i += 2 {
		sum += uint32(be.Uint16(h[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
