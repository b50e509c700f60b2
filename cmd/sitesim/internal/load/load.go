// Package load sends prebuilt export datagrams as fast as asked: it measures collectors. The
// datagrams come from the exporters of package export; only sequence numbers and times change
// from one sending to the next.
package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/packet"
)

// Options say what to send.
type Options struct {
	To       netip.AddrPort
	Mix      []export.Protocol
	Sources  int     // exporters per protocol, each with its own address, domain and sequence
	Rate     float64 // flows per second over all, 0 = as fast as possible
	Duration time.Duration
	Pool     int // flows prebuilt per exporter
	Seed     uint64
}

// Sent counts what went out; a sFlow flow sample counts as a flow.
type Sent struct {
	Flows     uint64 `json:"flows"`
	Datagrams uint64 `json:"datagrams"`
	Octets    uint64 `json:"octets"`
	Units     uint64 `json:"sequence_units"` // what the exporters' sequence numbers have grown by
}

// Report is what Run measured.
type Report struct {
	Sent
	Seconds      float64          `json:"seconds"`
	FlowsPerS    float64          `json:"flows_per_second"`
	Refused      uint64           `json:"refused"`
	ByProtocol   map[string]*Sent `json:"by_protocol"`
	CPUSeconds   float64          `json:"cpu_seconds"`
	RequestedFPS float64          `json:"requested_flows_per_second"`
}

// batch is the number of datagrams per system call (sendmmsg).
const batch = 32

// stream is one exporter: its socket and its datagrams, sent in a circle.
type stream struct {
	protocol  export.Protocol
	conn      *ipv4.PacketConn
	datagrams []datagram
	next      int
	sequence  uint32
	samples   map[uint32]uint32 // by sFlow data source
	flows     uint64
}

// datagram is a prebuilt one. step is how far it moves the sequence number.
type datagram struct {
	payload []byte
	flows   int
	step    uint32
	samples []int // offsets of flow samples (sFlow)
	times   []int // offsets of times in ms since 1970 (IPFIX)
	at      int64 // ms since 1970, of which they are
}

// Run sends until the duration is over or ctx is done.
func Run(ctx context.Context, o Options) (Report, error) {
	var streams []*stream
	defer func() {
		for _, s := range streams {
			s.conn.Close()
		}
	}()
	for i, protocol := range o.Mix {
		for k := range o.Sources {
			s, err := open(o, protocol, uint32(1+i*o.Sources+k))
			if err != nil {
				return Report{}, err
			}
			streams = append(streams, s)
		}
	}
	r := Report{ByProtocol: map[string]*Sent{}, RequestedFPS: o.Rate}
	for _, p := range o.Mix {
		r.ByProtocol[string(p)] = &Sent{}
	}
	messages := make([]ipv4.Message, batch)
	for i := range messages {
		messages[i].Buffers = make([][]byte, 1)
	}
	start := time.Now()
	for end := start.Add(o.Duration); ctx.Err() == nil; {
		now := time.Now()
		if !now.Before(end) {
			break
		}
		if o.Rate > 0 {
			if wait := time.Duration(float64(r.Flows)/o.Rate*1e9) - now.Sub(start); wait > 0 {
				time.Sleep(min(wait, time.Millisecond))
				continue
			}
		}
		s := laggard(streams)
		if err := s.send(messages, now, &r); err != nil {
			return r, err
		}
	}
	r.Seconds = time.Since(start).Seconds()
	r.FlowsPerS = float64(r.Flows) / r.Seconds
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err == nil {
		r.CPUSeconds = float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
	}
	return r, nil
}

// laggard is the stream that has sent the fewest flows.
func laggard(streams []*stream) *stream {
	least := streams[0]
	for _, s := range streams {
		if s.flows < least.flows {
			least = s
		}
	}
	return least
}

func open(o Options, protocol export.Protocol, number uint32) (*stream, error) {
	datagrams, err := build(o, protocol, number)
	if err != nil {
		return nil, err
	}
	source := net.UDPAddr{IP: net.IPv4(127, 0, 2, byte(number))}
	conn, err := net.DialUDP("udp4", &source, net.UDPAddrFromAddrPort(o.To))
	if err != nil {
		return nil, fmt.Errorf("open socket from %s to %s: %w", source.IP, o.To, err)
	}
	return &stream{protocol: protocol, conn: ipv4.NewPacketConn(conn), datagrams: datagrams, samples: map[uint32]uint32{}}, nil
}

// build has an exporter watch as many short conversations as there shall be flows.
func build(o Options, protocol export.Protocol, number uint32) ([]datagram, error) {
	var out []datagram
	boot := time.Now().Add(-72 * time.Hour)
	now := time.Now().UnixNano()
	known := map[uint16]layout{}
	e, err := export.New(export.Options{
		Protocol: protocol, Agent: netip.AddrFrom4([4]byte{127, 0, 2, byte(number)}), Domain: number,
		Active: time.Minute, Inactive: 15 * time.Second, Sampling: 1, Seed: o.Seed,
	}, export.State{Boot: boot.UnixNano()}, func(d export.Datagram) {
		out = append(out, datagram{payload: d.Payload, flows: d.Records, samples: samples(protocol, d.Payload), times: times(protocol, d.Payload, known), at: now / 1e6})
	})
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(o.Seed, uint64(number)))
	for range o.Pool / 2 {
		number := rng.IntN(o.Pool / 4)
		e.Observe(half(rng, number, false, now))
		e.Observe(half(rng, number, true, now))
	}
	e.Flush(now)
	for i := range out {
		end := e.State().Sequence
		if i+1 < len(out) {
			end = sequenceOf(protocol, out[i+1].payload)
		}
		out[i].step = end - sequenceOf(protocol, out[i].payload)
	}
	if len(out) < batch { // a datagram must not be in one batch twice: it is patched in place
		return nil, fmt.Errorf("prebuild %s: %d flows fill %d datagrams, want at least %d; raise --pool", protocol, o.Pool, len(out), batch)
	}
	return out, nil
}

// half is one half of a conversation within the last seconds. Who talks, to whom and
// by which service follows from the number of the conversation; routers export both
// halves, and a device that nobody ever answered would be a flood.
func half(rng *rand.Rand, number int, answer bool, now int64) packet.Train {
	of := rand.New(rand.NewPCG(uint64(number), 0))
	device := byte(1 + of.IntN(250))
	remote := netip.AddrFrom4([4]byte{52, byte(of.IntN(40)), byte(of.IntN(16)), byte(of.IntN(16))})
	ports := []uint16{443, 443, 443, 8883, 53, 123, 80, 554}
	t := packet.Train{
		Key: packet.Key{
			Src: netip.AddrFrom4([4]byte{10, 20, 40, device}), Dst: remote, Proto: packet.TCP, In: uint16(device % 47),
			SrcPort: uint16(32768 + rng.IntN(28000)), DstPort: ports[of.IntN(len(ports))],
		},
		At: now - int64(rng.IntN(10_000))*int64(time.Millisecond), Gap: int64(rng.IntN(50)) * int64(time.Millisecond),
		Count: 1, Size: 52 + rng.IntN(1448), Flags: packet.ACK | packet.PSH,
		SrcMAC: packet.MAC{0x24, 0x0a, 0xc4, 0, 0, device}, DstMAC: packet.MAC{0x24, 0x5a, 0x4c, 0, 0, 1}, VLAN: 40, Out: 100,
	}
	if t.DstPort == 53 || t.DstPort == 123 {
		t.Proto, t.Flags = packet.UDP, 0
		t.Size = 60 + rng.IntN(26) // a question; full packets would be a tunnel
	}
	if answer {
		t.Src, t.Dst, t.SrcPort, t.DstPort = t.Dst, t.Src, t.DstPort, t.SrcPort
		t.SrcMAC, t.DstMAC, t.In, t.Out = t.DstMAC, t.SrcMAC, t.Out, t.In
	}
	return t
}

// Offsets in the headers.
var (
	sequenceAt = map[export.Protocol]int{export.NetFlow5: 16, export.NetFlow9: 12, export.IPFIX: 8, export.SFlow: 16}
	secondsAt  = map[export.Protocol]int{export.NetFlow5: 8, export.NetFlow9: 8, export.IPFIX: 4}
)

var be = binary.BigEndian

func sequenceOf(p export.Protocol, payload []byte) uint32 { return be.Uint32(payload[sequenceAt[p]:]) }

// samples are the offsets of the sFlow samples in a datagram.
func samples(p export.Protocol, payload []byte) (offsets []int) {
	if p != export.SFlow {
		return nil
	}
	for at := 28; at+8 <= len(payload); at += 8 + int(be.Uint32(payload[at+4:])) {
		offsets = append(offsets, at)
	}
	return offsets
}

// send sends one batch.
func (s *stream) send(messages []ipv4.Message, now time.Time, r *Report) error {
	by := r.ByProtocol[string(s.protocol)]
	for i := range messages {
		d := &s.datagrams[s.next]
		s.next = (s.next + 1) % len(s.datagrams)
		s.stamp(d, now)
		messages[i].Buffers[0] = d.payload
		s.flows += uint64(d.flows)
		for _, sum := range []*Sent{&r.Sent, by} {
			sum.Flows += uint64(d.flows)
			sum.Datagrams++
			sum.Octets += uint64(len(d.payload))
			sum.Units += uint64(d.step)
		}
	}
	for sent := 0; sent < len(messages); {
		n, err := s.conn.WriteBatch(messages[sent:], 0)
		if errors.Is(err, syscall.ECONNREFUSED) { // the answer to an earlier datagram
			r.Refused++
			continue
		}
		if err != nil {
			return fmt.Errorf("send %s: %w", s.protocol, err)
		}
		sent += n
	}
	return nil
}

// stamp gives the datagram its sequence numbers and its times.
func (s *stream) stamp(d *datagram, now time.Time) {
	be.PutUint32(d.payload[sequenceAt[s.protocol]:], s.sequence)
	s.sequence += d.step
	if at, ok := secondsAt[s.protocol]; ok {
		be.PutUint32(d.payload[at:], uint32(now.Unix()))
	}
	if later := now.UnixMilli() - d.at; later > 0 {
		for _, at := range d.times {
			be.PutUint64(d.payload[at:], be.Uint64(d.payload[at:])+uint64(later))
		}
		d.at += later
	}
	for _, at := range d.samples {
		source := be.Uint32(d.payload[at+12:])
		s.samples[source]++
		be.PutUint32(d.payload[at+8:], s.samples[source])  // sequence number
		be.PutUint32(d.payload[at+20:], s.samples[source]) // sample pool, at 1 in 1
	}
}
