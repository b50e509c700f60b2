// Package sflow decodes sFlow v5 datagrams (sflow.org, sFlow Version 5) into
// flow.Batch. It opens no socket, keeps no clock and never logs.
package sflow

import (
	"net/netip"

	"tidemark/collector/flow"
)

// Config configures a Decoder; its zero value is good.
type Config struct {
	// Sampling is the operator's sampling rate for an exporter, 0 = none. With
	// override it replaces the rate in the sample, otherwise it serves when the
	// sample's rate is 0.
	Sampling func(exporter [16]byte) (rate uint32, override bool)

	// Payload, if set, is given what a sampled header holds behind the UDP or TCP
	// header of packets from or to one of Ports, with the row that the packet
	// made. It may keep neither, and is called by as many goroutines as Decode.
	Payload func(b *flow.Batch, row int, payload []byte)
	Ports   PortSet

	// Counters, if set, is given what counter samples say of interfaces. It too is
	// called by as many goroutines as Decode.
	Counters func(exporter, agent [16]byte, domain uint32, c InterfaceCounters)

	// PortName, if set, is given what counter samples call an interface, as sent. It
	// may not keep name, and is called by as many goroutines as Decode.
	PortName func(exporter, agent [16]byte, domain, index uint32, name []byte)
}

// PortSet is a set of ports, a bit for each; nil is empty.
type PortSet *[1 << 16 / 64]uint64

// Ports makes a PortSet.
func Ports(list ...uint16) PortSet {
	var s [1 << 16 / 64]uint64
	for _, p := range list {
		s[p/64] |= 1 << (p % 64)
	}
	return &s
}

// Decoder decodes sFlow v5. It holds no state between datagrams and is safe for
// concurrent use; each caller passes its own Batch.
type Decoder struct {
	config Config
}

// New returns a Decoder.
func New(c Config) *Decoder { return &Decoder{config: c} }

// Sample formats of enterprise 0. The discard sample is of sflow.org, "sFlow
// Dropped Packet Notification Structures".
const (
	flowSample            = 1
	counterSample         = 2
	expandedFlowSample    = 3
	expandedCounterSample = 4
	discardSample         = 5
)

// Where fields without a column are kept. Flow records of enterprise 0 are kept
// as exported under sFlow.org's own enterprise number and their format, those
// of vendors under the vendor's number; a sample's header (all between its
// sequence number and its records) under SampleHeader + sample format.
const (
	EnterpriseSFlow = 14706
	SampleHeader    = 4096

	originalExporterIPv4Address = 403
	originalExporterIPv6Address = 404
)

// pass is the decoding of one datagram.
type pass struct {
	config     *Config
	dst        *flow.Batch
	res        flow.Result
	dg         flow.Datagram
	agent      netip.Addr
	foreign    bool // the agent is not the datagram's source
	configured uint32
	override   bool
}

// Decode appends one row per flow sample or discard sample to dst and accounts for
// all octets of the datagram. It never panics on any payload; rows do not alias it.
//
// sFlow exports no flow times: a row's start and end stay absent. A row stands
// for one packet; its octets are those of the IP packet where the sampled header
// or record tells them, else those of the frame.
func (d *Decoder) Decode(dst *flow.Batch, dg flow.Datagram, payload []byte) (res flow.Result) {
	x := pass{dst: dst, dg: dg, config: &d.config}
	defer func() {
		if recover() != nil { // a bug; rows already complete are good
			dst.Truncate(dst.Len())
			x.fail(flow.ReasonPanic)
		}
		res = x.res
	}()
	if d.config.Sampling != nil {
		x.configured, x.override = d.config.Sampling(dg.Exporter)
		x.override = x.override && x.configured > 0
	}
	x.datagram(payload)
	return res
}

func (x *pass) datagram(payload []byte) {
	c := cursor{rest: payload}
	if version := c.u32(); version != 5 || c.short {
		x.fail(flow.ReasonVersion)
		return
	}
	res := &x.res
	res.Protocol, res.Unit, res.SequenceUnits = flow.SFlowV5, flow.Datagrams, 1
	var known bool
	if x.agent, known = c.address(); !known {
		x.fail(flow.ReasonMalformed)
		return
	}
	x.foreign = x.agent.Unmap() != netip.AddrFrom16(x.dg.Exporter).Unmap()
	res.Domain, res.Sequence, res.UptimeMs = c.u32(), c.u32(), c.u32()
	count := c.u32()
	if c.short {
		x.fail(flow.ReasonShort)
		return
	}
	x.samples(count, &c)
}

// Header reads only the header of a datagram: what is needed to account for one
// that is not decoded. ok is false when there is no whole header.
func Header(payload []byte) (r flow.Result, ok bool) {
	c := cursor{rest: payload}
	version := c.u32()
	_, known := c.address()
	r = flow.Result{Protocol: flow.SFlowV5, Unit: flow.Datagrams, SequenceUnits: 1}
	r.Domain, r.Sequence, r.UptimeMs = c.u32(), c.u32(), c.u32()
	return r, version == 5 && known && !c.short
}

func (x *pass) fail(r flow.Reason) { x.res.Undecodable[r]++ }

func (x *pass) samples(count uint32, c *cursor) {
	for ; count > 0; count-- {
		format, n := c.u32(), c.u32()
		if c.short {
			x.fail(flow.ReasonShort)
			return
		}
		body := c.take(int64(n))
		if c.short { // the datagram was cut: the records that are whole still count
			x.sample(format, c.rest)
			if x.res.Undecodable[flow.ReasonShort] == 0 {
				x.fail(flow.ReasonShort)
			}
			return
		}
		x.sample(format, body)
	}
	if !zeros(c.rest) {
		x.fail(flow.ReasonTrailing)
	}
}

func (x *pass) sample(format uint32, body []byte) {
	s := sample{format: format, c: cursor{rest: body}}
	switch format {
	case flowSample:
		s.sequence = s.c.u32()
		header := s.c.rest
		s.c.u32() // data source
		s.rate = s.c.u32()
		s.c.u32() // pool
		s.c.u32() // drops
		s.input, s.output = s.c.u32(), s.c.u32()
		s.header = header[:len(header)-len(s.c.rest)]
	case expandedFlowSample:
		s.sequence = s.c.u32()
		header := s.c.rest
		s.c.u32() // data source class
		s.c.u32() // data source index
		s.rate = s.c.u32()
		s.c.u32() // pool
		s.c.u32() // drops
		s.input, s.output = s.c.expandedInterface(), s.c.expandedInterface()
		s.header = header[:len(header)-len(s.c.rest)]
	case discardSample:
		s.sequence = s.c.u32()
		header := s.c.rest
		s.c.u32() // data source class
		s.c.u32() // data source index
		s.c.u32() // drops
		s.input, s.output = s.c.u32(), s.c.u32()
		s.c.u32() // reason
		s.header = header[:len(header)-len(s.c.rest)]
	case counterSample, expandedCounterSample:
		x.res.CounterSamples++
		x.counters(&s)
		return
	default:
		x.fail(flow.ReasonSampleType)
		return
	}
	s.records = s.c.u32()
	if s.c.short {
		x.fail(flow.ReasonShort)
		return
	}
	x.row(&s)
}

// sample is a flow sample or discard sample; its cursor stands at the records.
type sample struct {
	format        uint32
	sequence      uint32
	rate          uint32
	input, output uint32 // format in the top 2 bits
	header        []byte
	records       uint32
	c             cursor
}

// row appends the row of one sample.
func (x *pass) row(s *sample) {
	b := x.dst
	r := b.NextRow()
	b.Protocol[r] = flow.SFlowV5
	b.Transport[r] = x.dg.Transport
	b.TimeReceived[r] = x.dg.Received
	b.SamplerAddress[r] = x.dg.Exporter
	b.ObservationDomain[r] = x.res.Domain
	b.SequenceNum[r] = s.sequence
	b.Quality[r] = x.dg.Quality
	b.InIf[r], b.OutIf[r] = s.input, s.output
	b.Packets[r] = 1
	b.Presence[r] = flow.HasPackets | flow.HasInIf | flow.HasOutIf
	x.rate(r, s.rate)
	if x.foreign {
		id := uint16(originalExporterIPv6Address)
		if x.agent.Is4() {
			id = originalExporterIPv4Address
		}
		b.Extend(flow.ExtensionKey(0, id), x.agent.AsSlice())
	}
	x.records(r, s)
	b.Extend(flow.ExtensionKey(EnterpriseSFlow, SampleHeader+uint16(s.format)), s.header) // late: keys are to ascend
	b.EndRow()
	x.res.Flows++
	if s.format == discardSample {
		x.res.DiscardedSamples++
	}
}

// rate fills the sampling rate; discard samples have none.
func (x *pass) rate(r int, exported uint32) {
	b := x.dst
	switch {
	case exported > 0 && !x.override:
		b.SamplingRate[r] = exported
	case x.configured > 0:
		b.SamplingRate[r] = x.configured
		b.Quality[r] |= flow.SamplingFromConfig
	default:
		b.SamplingRate[r] = 1
		b.Quality[r] |= flow.SamplingAssumed
	}
}
