package netflow

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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
	before := cpu(b)
	for b.Loop() {
		if batch.Len() >= workerRows {
			batch.Reset()
		}
		d.Decode(&batch, router, data)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*flows), "ns/flow")
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N*flows), "cpu-ns/flow")
}

// cpu is the CPU time of this process: on a machine that is shared, the figure
// to compare.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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

// The layouts of a busy router (performance.md): v9 with 20 fields, IPFIX with 23.
var (
	router9 = []uint16{1, 4, 2, 4, 4, 1, 5, 1, 6, 1, 7, 2, 8, 4, 9, 1, 10, 2, 11, 2, 12, 4, 13, 1, 14, 2,
		15, 4, 16, 4, 17, 4, 21, 4, 22, 4, 56, 6, 80, 6}
	router10 = []uint16{1, 8, 2, 8, 4, 1, 5, 1, 6, 2, 7, 2, 8, 4, 9, 1, 10, 4, 11, 2, 12, 4, 13, 1, 14, 4,
		15, 4, 16, 4, 17, 4, 152, 8, 153, 8, 56, 6, 80, 6, 58, 2, 61, 1, 136, 1}
)

// routerRecords makes n records; times lie just before the Export Time.
func routerRecords(fields []uint16, n int) []byte {
	rng := rand.New(rand.NewPCG(7, 9))
	var out []byte
	for range n {
		for i := 0; i < len(fields); i += 2 {
			switch id, length := fields[i], int(fields[i+1]); id {
			case 21, 22:
				out = append(out, u32(uptime-1000-rng.Uint32N(60_000))...)
			case 152, 153:
				out = append(out, u64(exportUnix*1000-1000-rng.Uint64N(60_000))...)
			case 4:
				out = append(out, 6)
			default:
				for range length {
					out = append(out, byte(rng.Uint32()))
				}
			}
		}
	}
	return out
}

func BenchmarkDecodeRouterV9(b *testing.B) {
	benchmark(b, 23, v9(1, set(0, tmpl(300, router9...))), v9(1, set(300, routerRecords(router9, 23))))
}

func BenchmarkDecodeRouterIPFIX(b *testing.B) {
	benchmark(b, 16, ipfix(1, set(2, tmpl(300, router10...))), ipfix(1, set(300, routerRecords(router10, 16))))
}
