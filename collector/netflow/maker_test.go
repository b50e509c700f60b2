package netflow

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"tidemark/collector/flow"
)

// Makers of export datagrams, octet by octet as the RFCs draw them.

func u8(v ...byte) []byte         { return v }
func u16(v uint16) []byte         { return binary.BigEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte         { return binary.BigEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte         { return binary.BigEndian.AppendUint64(nil, v) }
func ip(s string) []byte          { return netip.MustParseAddr(s).AsSlice() }
func address16(s string) [16]byte { return netip.MustParseAddr(s).As16() }

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func set(id uint16, body ...[]byte) []byte {
	b := join(body...)
	return join(u16(id), u16(uint16(len(b)+4)), b)
}

// tmpl is a Template Record; fields come as pairs id, length.
func tmpl(id uint16, fields ...uint16) []byte {
	b := join(u16(id), u16(uint16(len(fields)/2)))
	for _, f := range fields {
		b = append(b, u16(f)...)
	}
	return b
}

// pen is the Field Specifier of an enterprise's element.
func pen(enterprise uint32, id, length uint16) []byte {
	return join(u16(id|0x8000), u16(length), u32(enterprise))
}

const (
	exportUnix = 1_700_000_000 // the Export Time of all messages made here
	uptime     = 1_000_000     // ms
	sequence   = 77
)

func v9(domain uint32, sets ...[]byte) []byte {
	return join(u16(9), u16(uint16(len(sets))), u32(uptime), u32(exportUnix), u32(sequence), u32(domain), join(sets...))
}

func ipfix(domain uint32, sets ...[]byte) []byte {
	b := join(sets...)
	return join(u16(10), u16(uint16(len(b)+16)), u32(exportUnix), u32(sequence), u32(domain), b)
}

// v5 is a NetFlow v5 datagram of n records.
func v5(n int, sampling uint16) []byte {
	b := join(u16(5), u16(uint16(n)), u32(uptime), u32(exportUnix), u32(500_000_000), u32(sequence), u8(1, 2), u16(sampling))
	for i := range n {
		b = join(b, ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.254"), u16(3), u16(4), u32(uint32(5+i)), u32(600),
			u32(uptime-2000), u32(uptime-1000), u16(1234), u16(443), u8(0, 0x1b, 6, 0x20), u16(65001), u16(65002), u8(24, 16, 0, 0))
	}
	return b
}

// from is a datagram's origin, received one second after exportUnix.
func from(addr string, port uint16) flow.Datagram {
	return flow.Datagram{Exporter: address16(addr), Port: port, Received: (exportUnix + 1) * int64(time.Second)}
}

var router = from("192.0.2.1", 50000)

// run decodes datagrams of one origin in order.
func run(t testing.TB, d *Decoder, dg flow.Datagram, payloads ...[]byte) (*flow.Batch, flow.Result) {
	t.Helper()
	var b flow.Batch
	var last flow.Result
	for _, p := range payloads {
		before := b.Len()
		last = d.Decode(&b, dg, p)
		if last.Undecodable[flow.ReasonPanic] != 0 {
			t.Fatalf("Decode(%x) panicked", p)
		}
		if b.Len()-before != last.Flows {
			t.Fatalf("%d rows appended, Result says %d", b.Len()-before, last.Flows)
		}
	}
	return &b, last
}

func extension(t testing.TB, b *flow.Batch, i int, pen uint32, id uint16) []byte {
	t.Helper()
	v, ok := b.Ext.Value(i, flow.ExtensionKey(pen, id))
	if !ok {
		t.Fatalf("row %d has no extension %d/%d", i, pen, id)
	}
	return v
}

func hasNot(t testing.TB, b *flow.Batch, i int, pen uint32, id uint16) {
	t.Helper()
	if v, ok := b.Ext.Value(i, flow.ExtensionKey(pen, id)); ok {
		t.Errorf("row %d has extension %d/%d = %x, want none", i, pen, id, v)
	}
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// plain is a template of a usual IPv4 flow, and its record.
var (
	plain       = tmpl(256, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4)
	plainFields = []uint16{8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4}
)

func plainRecord(srcPort uint16) []byte {
	return join(ip("10.0.0.1"), ip("10.0.0.2"), u16(srcPort), u16(53), u8(17), u32(100), u32(1))
}

func mapped(v4 []byte) [16]byte { return netip.AddrFrom4([4]byte(v4)).As16() }
