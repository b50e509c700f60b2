package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/netsampler/goflow2/v2/decoders/netflow"
	"github.com/netsampler/goflow2/v2/decoders/netflowlegacy"
	"github.com/netsampler/goflow2/v2/decoders/sflow"

	"tidemark/cmd/sitesim/internal/export"
)

// decoded is a flow record as goflow2, which we did not write, understands it.
type decoded struct {
	router          string
	src, dst        netip.Addr
	srcPort, port   uint16
	proto           uint8
	packets, octets uint64
	start, end      int64 // Unix ms
	exported        int64
	event, reason   uint64
	srcMAC          uint64
	sampling        uint64 // v5 header
}

// sample is a decoded sFlow flow sample.
type sample struct {
	source, pool, rate uint32
	size               uint16 // IP total length in the sampled header
	frame              uint32
	src, dst           netip.Addr
	vlan               uint32
}

// unknown is a number of records not to check.
const unknown = -1

// decoder is an output that decodes everything and checks sequence numbers as it comes.
type decoder struct {
	t         testing.TB
	templates map[string]netflow.NetFlowTemplateSystem
	next      map[string]uint32 // expected sequence number; sources of sFlow have their own
	records   []decoded
	samples   []sample
	flows     int // data records and flow samples, a biflow being one
	counters  int
	rates     map[string]uint64 // from options
	log       bytes.Buffer      // every payload, for comparing runs
	keep      bool
}

func newDecoder(t testing.TB) *decoder {
	return &decoder{t: t, templates: map[string]netflow.NetFlowTemplateSystem{}, next: map[string]uint32{}, rates: map[string]uint64{}}
}

func (d *decoder) close() error { return nil }

func (d *decoder) send(router string, dg export.Datagram) error {
	if len(dg.Payload) > export.MaxDatagram {
		d.t.Fatalf("exporter %s sent %d octets, want at most %d", router, len(dg.Payload), export.MaxDatagram)
	}
	if d.keep {
		fmt.Fprintf(&d.log, "%s %d %x\n", router, dg.At, dg.Payload)
	}
	before := d.flows
	switch {
	case dg.Payload[1] == 5 && dg.Payload[0] == 0:
		d.netflow5(router, dg.Payload)
	case binary.BigEndian.Uint32(dg.Payload) == 5:
		d.sflow(router, dg.Payload)
	default:
		d.netflow9AndIPFIX(router, dg)
	}
	if got := d.flows - before; dg.Records != unknown && got != dg.Records {
		d.t.Fatalf("exporter %s: decoded %d records, datagram claims %d", router, got, dg.Records)
	}
	return nil
}

// sequence checks that a sequence number is the one expected, and expects the next after step.
func (d *decoder) sequence(key string, got, step uint32) {
	if want := d.next[key]; got != want {
		d.t.Fatalf("%s: sequence number %d, want %d", key, got, want)
	}
	d.next[key] = got + step
}

func (d *decoder) netflow5(router string, b []byte) {
	var p netflowlegacy.PacketNetFlowV5
	if err := netflowlegacy.DecodeMessageVersion(bytes.NewBuffer(b), &p); err != nil {
		d.t.Fatalf("decode v5: %v", err)
	}
	d.sequence(router, p.FlowSequence, uint32(p.Count))
	boot := int64(p.UnixSecs)*1000 + int64(p.UnixNSecs)/1e6 - int64(p.SysUptime)
	for _, r := range p.Records {
		d.flows++
		d.records = append(d.records, decoded{
			router: router, src: v4(uint32(r.SrcAddr)), dst: v4(uint32(r.DstAddr)), srcPort: r.SrcPort, port: r.DstPort, proto: r.Proto,
			packets: uint64(r.DPkts), octets: uint64(r.DOctets), start: boot + int64(r.First), end: boot + int64(r.Last),
			exported: int64(p.UnixSecs) * 1000, sampling: uint64(p.SamplingInterval),
		})
	}
}

func v4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func (d *decoder) netflow9AndIPFIX(router string, dg export.Datagram) {
	if d.templates[router] == nil {
		d.templates[router] = netflow.CreateTemplateSystem()
	}
	var v9 netflow.NFv9Packet
	var v10 netflow.IPFIXPacket
	if err := netflow.DecodeMessageVersion(bytes.NewBuffer(dg.Payload), d.templates[router], &v9, &v10); err != nil {
		d.t.Fatalf("decode datagram of %s: %v", router, err)
	}
	sets, boot, exported := v10.FlowSets, int64(0), int64(v10.ExportTime)*1000
	if v9.Version == 9 {
		sets, exported = v9.FlowSets, int64(v9.UnixSeconds)*1000
		boot = exported - int64(v9.SystemUptime)
	}
	count, templates := 0, 0
	for _, set := range sets {
		switch s := set.(type) {
		case netflow.DataFlowSet:
			for _, r := range s.Records {
				count++
				d.flows++
				d.records = append(d.records, fields(d.t, router, r.Values, boot, exported)...)
			}
		case netflow.OptionsDataFlowSet:
			for _, r := range s.Records {
				count++
				for _, f := range r.OptionsValues {
					switch f.Type {
					case 34:
						d.rates[router] = number(f.Value)
					case 306: // samplingPacketSpace
						d.rates[router] = number(f.Value) + 1
					}
				}
			}
		case netflow.TemplateFlowSet:
			templates += len(s.Records)
		case netflow.NFv9OptionsTemplateFlowSet:
			templates += len(s.Records)
		case netflow.IPFIXOptionsTemplateFlowSet:
		default:
			d.t.Fatalf("decode datagram of %s: %T, want a template or a set with one", router, set)
		}
	}
	if v9.Version == 9 {
		if want := count + templates; int(v9.Count) != want {
			d.t.Fatalf("v9 Count %d, want %d", v9.Count, want)
		}
		d.sequence(router, v9.SequenceNumber, 1)
		return
	}
	d.sequence(router, v10.SequenceNumber, uint32(count))
}

func number(v any) (n uint64) {
	for _, b := range v.([]byte) {
		n = n<<8 | uint64(b)
	}
	return n
}

// fields reads one data record; a biflow becomes two.
func fields(t testing.TB, router string, values []netflow.DataField, boot, exported int64) []decoded {
	r := decoded{router: router, exported: exported}
	var back decoded
	for _, f := range values {
		if f.PenProvided {
			if f.Pen != 29305 {
				t.Fatalf("enterprise number %d, want 29305", f.Pen)
			}
			switch f.Type {
			case 1:
				back.octets = number(f.Value)
			case 2:
				back.packets = number(f.Value)
			case 152:
				back.start = int64(number(f.Value))
			case 153:
				back.end = int64(number(f.Value))
			}
			continue
		}
		n := number(f.Value)
		switch f.Type {
		case 8:
			r.src = v4(uint32(n))
		case 12:
			r.dst = v4(uint32(n))
		case 7:
			r.srcPort = uint16(n)
		case 11:
			r.port = uint16(n)
		case 4:
			r.proto = uint8(n)
		case 1:
			r.octets = n
		case 2:
			r.packets = n
		case 22:
			r.start = boot + int64(n)
		case 21:
			r.end = boot + int64(n)
		case 152:
			r.start = int64(n)
		case 153:
			r.end = int64(n)
		case 136:
			r.reason = n
		case 233:
			r.event = n
		case 56:
			r.srcMAC = n
		}
	}
	if back.packets == 0 {
		return []decoded{r}
	}
	back.router, back.src, back.dst, back.srcPort, back.port, back.proto, back.exported = router, r.dst, r.src, r.port, r.srcPort, r.proto, exported
	return []decoded{r, back}
}

func (d *decoder) sflow(router string, b []byte) {
	var p sflow.Packet
	if err := sflow.DecodeMessageVersion(bytes.NewBuffer(b), &p); err != nil {
		d.t.Fatalf("decode sFlow: %v", err)
	}
	d.sequence(router, p.SequenceNumber, 1)
	for _, s := range p.Samples {
		switch s := s.(type) {
		case sflow.FlowSample:
			key := fmt.Sprintf("%s source %d flow samples", router, s.Header.SourceIdValue)
			if _, known := d.next[key]; !known {
				d.next[key] = 1
			}
			d.sequence(key, s.Header.SampleSequenceNumber, 1)
			d.flows++
			d.samples = append(d.samples, flowSample(d.t, s))
		case sflow.CounterSample:
			key := fmt.Sprintf("%s source %d counters", router, s.Header.SourceIdValue)
			if _, known := d.next[key]; !known {
				d.next[key] = 1
			}
			d.sequence(key, s.Header.SampleSequenceNumber, 1)
			if _, ok := s.Records[0].Data.(sflow.IfCounters); !ok {
				d.t.Fatalf("counter record %T, want IfCounters", s.Records[0].Data)
			}
			d.counters++
		default:
			d.t.Fatalf("sFlow sample %T", s)
		}
	}
}

func flowSample(t testing.TB, s sflow.FlowSample) sample {
	out := sample{source: s.Header.SourceIdValue, pool: s.SamplePool, rate: s.SamplingRate}
	for _, r := range s.Records {
		switch data := r.Data.(type) {
		case sflow.SampledHeader:
			h := data.HeaderData
			if len(h) < 34 || binary.BigEndian.Uint16(h[12:]) != 0x0800 || h[14] != 0x45 {
				t.Fatalf("sampled header % x: want Ethernet and IPv4", h)
			}
			out.size, out.frame = binary.BigEndian.Uint16(h[16:]), data.FrameLength
			out.src, out.dst = netip.AddrFrom4([4]byte(h[26:30])), netip.AddrFrom4([4]byte(h[30:34]))
		case sflow.ExtendedSwitch:
			out.vlan = data.SrcVlan
		default:
			t.Fatalf("sFlow record %T", data)
		}
	}
	return out
}
