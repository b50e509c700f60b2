package collector

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"tidemark/collector/flow"
)

// exports are datagrams like those of a busy router: about 1.4 kB each.
type exports struct {
	name      string
	template  []byte
	data      []byte
	sequence  int // where the number lies
	records   int
	increment uint32
}

func (s *exports) number(n uint32) []byte {
	binary.BigEndian.PutUint32(s.data[s.sequence:], n*s.increment)
	return s.data
}

type element struct{ id, length uint16 }

func busyRouter() []*exports {
	random := rand.New(rand.NewPCG(7, 9))
	now := uint32(time.Now().Unix())
	// records are random but for the times, which are of the last minute: others
	// are clamped, which no good exporter makes us do.
	records := func(es []element, n int) (out []byte) {
		for range n {
			for _, e := range es {
				switch e.id {
				case 21, 22: // the header says an uptime of 65,536 ms
					out = binary.BigEndian.AppendUint32(out, 1000+random.Uint32N(60_000))
				case 152, 153:
					out = binary.BigEndian.AppendUint64(out, uint64(now)*1000-random.Uint64N(60_000))
				default:
					for range e.length {
						out = append(out, byte(random.Uint32()))
					}
				}
			}
		}
		return out
	}
	v9 := []element{{1, 4}, {2, 4}, {4, 1}, {5, 1}, {6, 1}, {7, 2}, {8, 4}, {9, 1}, {10, 2}, {11, 2}, {12, 4}, {13, 1}, {14, 2},
		{15, 4}, {16, 4}, {17, 4}, {21, 4}, {22, 4}, {56, 6}, {80, 6}}
	v10 := []element{{1, 8}, {2, 8}, {4, 1}, {5, 1}, {6, 2}, {7, 2}, {8, 4}, {9, 1}, {10, 4}, {11, 2}, {12, 4}, {13, 1}, {14, 4},
		{15, 4}, {16, 4}, {17, 4}, {152, 8}, {153, 8}, {56, 6}, {80, 6}, {58, 2}, {61, 1}, {136, 1}}
	size := func(es []element) (n int) {
		for _, e := range es {
			n += int(e.length)
		}
		return n
	}
	set := func(id uint16, body []byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, id)
		return append(binary.BigEndian.AppendUint16(b, uint16(4+len(body))), body...)
	}
	template := func(es []element) []byte {
		b := binary.BigEndian.AppendUint16(nil, 256)
		b = binary.BigEndian.AppendUint16(b, uint16(len(es)))
		for _, e := range es {
			b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, e.id), e.length)
		}
		return b
	}
	header9 := func(body []byte) []byte {
		b := []byte{0, 9, 0, 1, 0, 1, 0, 0}
		b = binary.BigEndian.AppendUint32(b, now)
		return append(append(b, 0, 0, 0, 0, 0, 0, 0, 3), body...)
	}
	header10 := func(body []byte) []byte {
		b := []byte{0, 10}
		b = binary.BigEndian.AppendUint16(b, uint16(16+len(body)))
		b = binary.BigEndian.AppendUint32(b, now)
		return append(append(b, 0, 0, 0, 0, 0, 0, 0, 4), body...)
	}
	n9, n10 := 1440/size(v9), 1440/size(v10)
	return []*exports{
		{name: "netflow_v5", data: v5(0, 30), sequence: 16, records: 30, increment: 30},
		{name: "netflow_v9", template: header9(set(0, template(v9))), data: header9(set(256, records(v9, n9))), sequence: 12, records: n9, increment: 1},
		{name: "ipfix", template: header10(set(2, template(v10))), data: header10(set(256, records(v10, n10))), sequence: 8, records: n10, increment: uint32(n10)},
		{name: "sflow_v5", data: sflowDatagram(7), sequence: 16, records: 7, increment: 1},
	}
}

// sflowDatagram holds n flow samples with 128 octets of an IPv4 packet each.
func sflowDatagram(n int) []byte {
	frame := append(make([]byte, 12), 8, 0)
	frame = append(frame, ipv4Packet(128-14)...)
	u := binary.BigEndian.AppendUint32
	b := []byte{0, 0, 0, 5, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}
	b = u(b, uint32(n))
	for i := range n {
		record := u(u(u(u(nil, 1), 1400), 4), uint32(len(frame)))
		record = append(record, frame...)
		sample := u(u(u(u(u(u(u(u(nil, uint32(i)), 3), 1000), 7000), 0), 1), 2), 1)
		sample = append(u(u(sample, 1), uint32(len(record))), record...)
		b = append(u(u(b, 1), uint32(len(sample))), sample...)
	}
	return b
}

func ipv4Packet(n int) []byte {
	p := ipv4Fragment(1, 0, false, make([]byte, n-20))
	p[9] = 6
	return p
}

// BenchmarkReader measures what one worker does for datagrams that wait in its
// socket: recvmmsg, decode, account. The sender's work is not in it.
func BenchmarkReader(b *testing.B) {
	for _, s := range busyRouter() {
		b.Run(s.name, func(b *testing.B) {
			c := newCollector(b, Config{Workers: 1}, Deps{Log: zerolog.Nop()})
			if err := c.Listen(); err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			r := c.readers[0]
			conn := (&running{Collector: c, t: b}).dial(0)
			ctx := context.Background()
			drain := func() {
				for {
					n, err := r.socket.poll()
					if err == nil {
						err = r.take(ctx, n)
					}
					if err != nil {
						b.Fatal(err)
					}
					if n == 0 {
						return
					}
				}
			}
			if s.template != nil {
				write(b, conn, s.template)
				drain()
			}
			out := ipv4.NewPacketConn(conn)
			messages := make([]ipv4.Message, 1)
			number := uint32(1)
			b.ReportAllocs()
			b.ResetTimer()
			var used time.Duration
			for left := b.N; left > 0; {
				b.StopTimer()
				n := min(left, 1024)
				for range n {
					messages[0].Buffers = [][]byte{s.number(number)}
					number++
					if _, err := out.WriteBatch(messages, 0); err != nil {
						b.Fatal(err)
					}
				}
				left -= n
				b.StartTimer()
				before := cpu(b)
				drain()
				used += cpu(b) - before
			}
			b.StopTimer()
			if drops := c.kernelDrops(); drops > 0 {
				b.Fatalf("%d datagrams were dropped: the receive buffer of %d octets is too small", drops, r.socket.buffer)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*s.records), "ns/flow")
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N*s.records), "cpu-ns/flow")
			for _, e := range c.Exporters() {
				if e.Flows != uint64(b.N*s.records) || e.Lost != 0 {
					b.Fatalf("%d flows, want %d: %+v", e.Flows, b.N*s.records, e)
				}
			}
		})
	}
}

const benchSender = "TIDEMARK_BENCH_SENDER"

// TestBenchSender is the other process of BenchmarkLoopback: it sends flat out
// to the address it is given until it is killed.
func TestBenchSender(t *testing.T) {
	address := os.Getenv(benchSender)
	if address == "" {
		return
	}
	var out []*ipv4.PacketConn
	all := busyRouter()[:3]
	for range all {
		conn, err := net.Dial("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ipv4.NewPacketConn(conn.(*net.UDPConn)))
	}
	const burst = 32
	messages := make([]ipv4.Message, burst)
	for i, s := range all {
		if s.template != nil {
			messages[0].Buffers = [][]byte{s.template}
			if _, err := out[i].WriteBatch(messages[:1], 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	for number := uint32(1); ; number += burst {
		for i, s := range all {
			for j := range messages {
				messages[j].Buffers = [][]byte{append([]byte(nil), s.number(number+uint32(j))...)}
			}
			for sent := 0; sent < burst; {
				n, err := out[i].WriteBatch(messages[sent:], 0)
				if err != nil {
					return // the collector has gone
				}
				sent += n
			}
		}
	}
}

// BenchmarkLoopback receives as fast as another process sends (NetFlow v5, v9
// and IPFIX in turn) for the time of the benchmark, and reports the rate, the
// loss and the CPU time of this process per flow.
func BenchmarkLoopback(b *testing.B) {
	var flows uint64
	c := start(b, Config{Workers: 1}, Deps{Log: zerolog.Nop(), Handle: func(_ context.Context, batch *flow.Batch) error {
		flows += uint64(batch.Len())
		return nil
	}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sender := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestBenchSender$")
	sender.Env = append(os.Environ(), benchSender+"="+c.Addrs()[0].String())
	if err := sender.Start(); err != nil {
		b.Fatal(err)
	}
	c.await(1000)
	before, began := cpu(b), c.Counts()[0]
	b.ResetTimer()
	for range b.N { // one "operation" is 10,000 datagrams, read or dropped
		c.await(c.Counts()[0].Expected + 10_000)
	}
	b.StopTimer()
	used, ended := cpu(b)-before, c.Counts()[0]
	cancel()
	_ = sender.Wait()
	read := float64(ended.Received - began.Received)
	c.stop()
	perDatagram := float64(flows) / float64(c.Counts()[0].Received)
	b.ReportMetric(read/b.Elapsed().Seconds(), "datagrams/s")
	b.ReportMetric(read*perDatagram/b.Elapsed().Seconds(), "flows/s")
	b.ReportMetric(float64(used.Nanoseconds())/(read*perDatagram), "cpu-ns/flow")
	b.ReportMetric(100*float64(ended.Shed-began.Shed)/float64(ended.Expected-began.Expected), "loss-%")
	b.ReportMetric(0, "ns/op")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
