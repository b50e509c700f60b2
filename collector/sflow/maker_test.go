package sflow

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"tidemark/collector/flow"
)

// Makers of sFlow v5 datagrams, word by word as the specification draws them.

func words(v ...uint32) (out []byte) {
	for _, w := range v {
		out = binary.BigEndian.AppendUint32(out, w)
	}
	return out
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func ip(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// opaque is XDR's variable-length opaque, padded to a multiple of 4.
func opaque(b []byte) []byte {
	return join(words(uint32(len(b))), b, make([]byte, (4-len(b)%4)%4))
}

func record(format uint32, body []byte) []byte { return join(words(format, uint32(len(body))), body) }
func sampleOf(format uint32, body ...[]byte) []byte {
	b := join(body...)
	return join(words(format, uint32(len(b))), b)
}

const (
	rate   = 512
	inIf   = 3
	outIf  = 0x80000002 // two interfaces: format bits kept
	agent4 = "192.0.2.1"
)

func datagramOf(samples ...[]byte) []byte {
	return join(words(5, 1), ip(agent4), words(9, 1234, 60_000, uint32(len(samples))), join(samples...))
}

func flowSampleOf(sequence uint32, records ...[]byte) []byte {
	return sampleOf(flowSample, words(sequence, 7, rate, 10_000, 0, inIf, outIf, uint32(len(records))), join(records...))
}

func expandedSampleOf(sequence uint32, records ...[]byte) []byte {
	return sampleOf(expandedFlowSample, words(sequence, 0, 7, rate, 10_000, 0, 0, inIf, 2, 2, uint32(len(records))), join(records...))
}

func discardSampleOf(sequence, reason uint32, records ...[]byte) []byte {
	return sampleOf(discardSample, words(sequence, 0, 7, 256, inIf, 0, reason, uint32(len(records))), join(records...))
}

func raw(protocol, frame uint32, header []byte) []byte {
	return record(rawHeader, join(words(protocol, frame, 4), opaque(header)))
}

var (
	dstMAC = []byte{2, 0, 0, 0, 0, 2}
	srcMAC = []byte{2, 0, 0, 0, 0, 1}
)

func ethernet(kind uint16, payload []byte) []byte {
	return join(dstMAC, srcMAC, []byte{byte(kind >> 8), byte(kind)}, payload)
}

func vlan(id, kind uint16) []byte {
	return []byte{0xa0 | byte(id>>8), byte(id), byte(kind >> 8), byte(kind)}
}

func ipv4Of(protocol byte, total uint16, fragment uint16, payload []byte) []byte {
	return join([]byte{0x45, 0xb8, byte(total >> 8), byte(total), 0xab, 0xcd, byte(fragment >> 8), byte(fragment), 63, protocol, 0, 0},
		ip("10.0.0.1"), ip("10.0.0.2"), payload)
}

func ipv6Of(next byte, length uint16, payload []byte) []byte {
	return join([]byte{0x6b, 0x80, 0, 1, byte(length >> 8), byte(length), next, 62}, ip("2001:db8::1"), ip("2001:db8::2"), payload)
}

func tcpOf(src, dst uint16, flags byte) []byte {
	return join([]byte{byte(src >> 8), byte(src), byte(dst >> 8), byte(dst)}, words(1, 2), []byte{0x50, flags, 0, 0}, words(0))
}

func udpOf(src, dst uint16) []byte {
	return []byte{byte(src >> 8), byte(src), byte(dst >> 8), byte(dst), 0, 8, 0, 0}
}

var agent = flow.Datagram{Exporter: netip.MustParseAddr("::ffff:" + agent4).As16(), Port: 6343, Received: 1_700_000_000e9}

func run(t testing.TB, payload []byte) (*flow.Batch, flow.Result) {
	t.Helper()
	var b flow.Batch
	r := New(Config{
		Counters: func(_, _ [16]byte, _ uint32, c InterfaceCounters) { c.InSince(InterfaceCounters{}) },
		PortName: func(_, _ [16]byte, _, _ uint32, name []byte) {
			if len(name) == 0 || len(name) > len(payload) {
				t.Fatalf("Decode(%x): a name of %d octets", payload, len(name))
			}
		},
	}).Decode(&b, agent, payload)
	if r.Undecodable[flow.ReasonPanic] != 0 {
		t.Fatalf("Decode(%x) panicked", payload)
	}
	if b.Len() != r.Flows || len(b.Protocol) != r.Flows {
		t.Fatalf("%d rows, Result says %d", b.Len(), r.Flows)
	}
	return &b, r
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func extension(t testing.TB, b *flow.Batch, i int, pen uint32, id uint16) string {
	t.Helper()
	v, ok := b.Ext.Value(i, flow.ExtensionKey(pen, id))
	if !ok {
		t.Fatalf("row %d has no extension %d/%d", i, pen, id)
	}
	return string(v)
}
