package storage

import (
	"slices"
	"unsafe"

	"tidemark/collector/flow"
)

// word is a value of fixed width whose memory is its wire form up to octet order.
type word interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int64 | ~[16]byte
}

// column is a column of the tables flows and flows_quarantine that stands in
// flow.Batch, as it goes through a Native block.
type column struct {
	name, typ string
	width     int // octets of a value, 0: not fixed
	append    func(dst []byte, b *flow.Batch, rows int) []byte
	read      func(r *blockReader, b *flow.Batch, rows int)
	grow      func(b *flow.Batch, rows int)               // by zeros
	view      func(v *blockView, b *flow.Batch, rows int) // of fixed width
}

// fixed describes a column of fixed width.
func fixed[T word](name, typ string, field func(*flow.Batch) *[]T) column {
	grow := func(b *flow.Batch, rows int) {
		s := field(b)
		n := len(*s)
		*s = slices.Grow(*s, rows)[:n+rows]
		clear((*s)[n:])
	}
	var one T
	return column{
		name: name, typ: typ, width: int(unsafe.Sizeof(one)), grow: grow,
		append: func(dst []byte, b *flow.Batch, rows int) []byte {
			return appendWire(dst, (*field(b))[:rows])
		},
		read: func(r *blockReader, b *flow.Batch, rows int) {
			grow(b, rows)
			s := *field(b)
			readWords(r, s[len(s)-rows:])
		},
		view: func(v *blockView, b *flow.Batch, rows int) { *field(b) = viewColumn[T](v, rows) },
	}
}

// Types of columns as ClickHouse writes them; a Native block must name them so.
const (
	typeTime      = "DateTime64(9, 'UTC')"
	typeProtocol  = "Enum8('netflow_v1' = 1, 'netflow_v5' = 5, 'netflow_v7' = 7, 'netflow_v9' = 9, 'ipfix' = 10, 'sflow_v5' = 12)"
	typeTransport = "Enum8('udp' = 0, 'tcp' = 1, 'tls' = 2, 'dtls' = 3, 'file' = 4)"
	typeIdentity  = "Enum8('none' = 0, 'mac' = 1, 'address' = 2, 'gateway' = 3)"
	typeInitiator = "Enum8('unknown' = 0, 'src' = 1, 'dst' = 2)"
	typeScope     = "Enum8('unknown' = 0, 'lan' = 1, 'wan' = 2, 'multicast' = 3, 'transit' = 4)"
)

// recordColumns are the columns of the record, which ReadFlows gives back.
func recordColumns() []column {
	return []column{
		fixed("type", typeProtocol, func(b *flow.Batch) *[]flow.Protocol { return &b.Protocol }),
		fixed("transport", typeTransport, func(b *flow.Batch) *[]flow.Transport { return &b.Transport }),
		fixed("time_received_ns", typeTime, func(b *flow.Batch) *[]int64 { return &b.TimeReceived }),
		fixed("time_flow_start_ns", typeTime, func(b *flow.Batch) *[]int64 { return &b.TimeFlowStart }),
		fixed("time_flow_end_ns", typeTime, func(b *flow.Batch) *[]int64 { return &b.TimeFlowEnd }),
		fixed("sampler_address", "IPv6", func(b *flow.Batch) *[][16]byte { return &b.SamplerAddress }),
		fixed("observation_domain_id", "UInt32", func(b *flow.Batch) *[]uint32 { return &b.ObservationDomain }),
		fixed("sequence_num", "UInt32", func(b *flow.Batch) *[]uint32 { return &b.SequenceNum }),
		fixed("src_addr", "IPv6", func(b *flow.Batch) *[][16]byte { return &b.SrcAddr }),
		fixed("dst_addr", "IPv6", func(b *flow.Batch) *[][16]byte { return &b.DstAddr }),
		fixed("src_port", "UInt16", func(b *flow.Batch) *[]uint16 { return &b.SrcPort }),
		fixed("dst_port", "UInt16", func(b *flow.Batch) *[]uint16 { return &b.DstPort }),
		fixed("proto", "UInt8", func(b *flow.Batch) *[]uint8 { return &b.Proto }),
		fixed("flow_direction", "UInt8", func(b *flow.Batch) *[]uint8 { return &b.Direction }),
		fixed("tcp_flags", "UInt16", func(b *flow.Batch) *[]uint16 { return &b.TCPFlags }),
		fixed("bytes", "UInt64", func(b *flow.Batch) *[]uint64 { return &b.Bytes }),
		fixed("packets", "UInt64", func(b *flow.Batch) *[]uint64 { return &b.Packets }),
		fixed("sampling_rate", "UInt32", func(b *flow.Batch) *[]uint32 { return &b.SamplingRate }),
		fixed("src_mac", "UInt64", func(b *flow.Batch) *[]uint64 { return &b.SrcMAC }),
		fixed("dst_mac", "UInt64", func(b *flow.Batch) *[]uint64 { return &b.DstMAC }),
		fixed("src_vlan", "UInt16", func(b *flow.Batch) *[]uint16 { return &b.SrcVLAN }),
		fixed("dst_vlan", "UInt16", func(b *flow.Batch) *[]uint16 { return &b.DstVLAN }),
		fixed("in_if", "UInt32", func(b *flow.Batch) *[]uint32 { return &b.InIf }),
		fixed("out_if", "UInt32", func(b *flow.Batch) *[]uint32 { return &b.OutIf }),
		fixed("presence", "UInt16", func(b *flow.Batch) *[]uint16 { return &b.Presence }),
		fixed("ip_tos", "UInt8", func(b *flow.Batch) *[]uint8 { return &b.TOS }),
		fixed("flow_end_reason", "UInt8", func(b *flow.Batch) *[]uint8 { return &b.EndReason }),
		fixed("firewall_event", "UInt8", func(b *flow.Batch) *[]uint8 { return &b.FirewallEvent }),
		fixed("nat_event", "UInt8", func(b *flow.Batch) *[]uint8 { return &b.NATEvent }),
		fixed("quality", "UInt16", func(b *flow.Batch) *[]uint16 { return &b.Quality }),
		fixed("src_as", "UInt32", func(b *flow.Batch) *[]uint32 { return &b.SrcAS }),
		fixed("dst_as", "UInt32", func(b *flow.Batch) *[]uint32 { return &b.DstAS }),
		{name: "extensions", typ: "Map(UInt64, Array(String))", append: appendExtensions, read: readExtensions},
	}
}

// enrichmentColumns follow the record; the read-back leaves them out.
func enrichmentColumns() []column {
	return []column{
		fixed("event_start_ns", typeTime, func(b *flow.Batch) *[]int64 { return &b.EventStart }),
		fixed("event_end_ns", typeTime, func(b *flow.Batch) *[]int64 { return &b.EventEnd }),
		fixed("src_device", "UInt64", func(b *flow.Batch) *[]uint64 { return &b.SrcDevice }),
		fixed("dst_device", "UInt64", func(b *flow.Batch) *[]uint64 { return &b.DstDevice }),
		fixed("src_identity", typeIdentity, func(b *flow.Batch) *[]flow.Identity { return &b.SrcIdentity }),
		fixed("dst_identity", typeIdentity, func(b *flow.Batch) *[]flow.Identity { return &b.DstIdentity }),
		fixed("initiator", typeInitiator, func(b *flow.Batch) *[]flow.Initiator { return &b.Initiator }),
		fixed("initiator_confidence", "UInt8", func(b *flow.Batch) *[]uint8 { return &b.InitiatorConfidence }),
		fixed("scope", typeScope, func(b *flow.Batch) *[]flow.Scope { return &b.Scope }),
		fixed("service_port", "UInt16", func(b *flow.Batch) *[]uint16 { return &b.ServicePort }),
		fixed("conversation", "UInt64", func(b *flow.Batch) *[]uint64 { return &b.Conversation }),
	}
}
