package netflow

import (
	"slices"
	"testing"

	"tidemark/collector/flow"
)

// softflowd's IPv4 template, and one with MACs and VLAN as -T ether adds them.
var (
	softflowd      = []uint16{8, 4, 12, 4, 152, 8, 153, 8, 1, 4, 2, 4, 10, 4, 14, 4, 7, 2, 11, 2, 4, 1, 6, 1, 60, 1, 5, 1, 32, 2, 58, 2, 56, 6, 80, 6}
	softflowdBytes = join(ip("10.0.0.1"), ip("10.0.0.2"), u64(exportUnix*1000-9000), u64(exportUnix*1000-100), u32(1500), u32(3), u32(1), u32(2),
		u16(40000), u16(443), u8(6, 0x1b, 4, 0), u16(0), u16(12), make([]byte, 12))
)

// workerRows is how many rows a worker gathers before it hands them on.
const workerRows = 8192

func benchmark(b *testing.B, flows int, template, data []byte) {
	d := New(Config{})
	var batch flow.Batch
	d.Decode(&batch, router, template)
	for batch.Len() < workerRows {
		d.Decode(&batch, router, data)
	}
	b.ReportAllocs()
	for b.Loop() {
		if batch.Len() >= workerRows {
			batch.Reset()
		}
		d.Decode(&batch, router, data)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*flows), "ns/flow")
}

func BenchmarkDecodeV5(b *testing.B) { benchmark(b, 30, v5(1, 0), v5(30, 100)) }

func BenchmarkDecodeV9(b *testing.B) {
	records := slices.Repeat([][]byte{softflowdBytes}, 18)
	benchmark(b, 18, v9(1, set(0, tmpl(1024, softflowd...))), v9(1, set(1024, records...)))
}

func BenchmarkDecodeIPFIX(b *testing.B) {
	records := slices.Repeat([][]byte{softflowdBytes}, 18)
	benchmark(b, 18, ipfix(1, set(2, tmpl(1024, softflowd...))), ipfix(1, set(1024, records...)))
}

func BenchmarkDecodeIPFIXPlain(b *testing.B) {
	records := slices.Repeat([][]byte{plainRecord(1)}, 50)
	benchmark(b, 50, ipfix(1, set(2, plain)), ipfix(1, set(256, records...)))
}
