package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"tidemark/collector/flow"
)

// sink keeps all rows handed to it.
type sink struct {
	mu    sync.Mutex
	batch flow.Batch
	calls int
}

func (s *sink) handle(_ context.Context, b *flow.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch.Append(b, 0, b.Len())
	s.calls++
	return nil
}

func (s *sink) rows() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batch.Len()
}

func (s *sink) totals() (packets, octets uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.batch.Len() {
		packets += s.batch.Packets[i]
		octets += s.batch.Bytes[i]
	}
	return packets, octets
}

// running is a Collector on free loopback ports.
type running struct {
	*Collector
	t    testing.TB
	stop func() // ends Run and waits for it
}

func newCollector(t testing.TB, c Config, d Deps) *Collector {
	t.Helper()
	if len(c.Listen) == 0 {
		c.Listen = []string{"127.0.0.1:0"}
	}
	if d.Handle == nil {
		d.Handle = func(context.Context, *flow.Batch) error { return nil }
	}
	co, err := New(c, d)
	if err != nil {
		t.Fatal(err)
	}
	return co
}

func start(t testing.TB, c Config, d Deps) *running {
	t.Helper()
	co := newCollector(t, c, d)
	if err := co.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- co.Run(ctx) }()
	var once sync.Once
	r := &running{Collector: co, t: t, stop: func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("Run did not return within a minute of its context's end")
			}
		})
	}}
	t.Cleanup(r.stop)
	return r
}

func (r *running) dial(i int) *net.UDPConn {
	r.t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.Addrs()[i]))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// await waits until the datagrams are read or dropped by the kernel.
func (r *running) await(datagrams uint64) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if s := r.Counts()[0]; s.Expected >= datagrams {
			return
		} else if time.Now().After(end) {
			r.t.Fatalf("%d datagrams read or dropped, want %d", s.Expected, datagrams)
		}
	}
}

// v5 makes a NetFlow v5 datagram of n records of one packet of 100 octets each.
func v5(sequence uint32, n int) []byte {
	b := make([]byte, 24+48*n)
	b[1], b[3] = 5, byte(n)
	b[4], b[5], b[6], b[7] = 0, 1, 0, 0 // uptime
	now := uint32(time.Now().Unix())
	b[8], b[9], b[10], b[11] = byte(now>>24), byte(now>>16), byte(now>>8), byte(now)
	b[16], b[17], b[18], b[19] = byte(sequence>>24), byte(sequence>>16), byte(sequence>>8), byte(sequence)
	for i := range n {
		r := b[24+48*i:]
		copy(r, []byte{10, 0, 0, byte(i), 192, 0, 2, 1})
		r[19], r[23] = 1, 100
		r[38] = 17
	}
	return b
}

func write(t testing.TB, c *net.UDPConn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// captures returns the directory of the captures, or skips: with CI=true it must be there.
func captures(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TIDEMARK_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "captures")
	}
	if _, err := os.Stat(dir); err != nil {
		missing(t, fmt.Sprintf("no captures: %v (set TIDEMARK_CAPTURES)", err))
	}
	return dir
}

// missing skips, or fails where everything must be there.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func exportCaptures(t testing.TB) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(captures(t), "exports"), func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".pcap") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 80 {
		t.Fatalf("%d captures of exports, want at least 80", len(files))
	}
	return files
}

func TestCollector_BothAddressFamiliesOnOneSocket(t *testing.T) {
	s := &sink{}
	c := start(t, Config{Listen: []string{":0"}, Workers: 2}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	port := c.Addrs()[0].Port()
	want := map[netip.Addr]int{}
	for _, host := range []string{"127.0.0.1", "::1"} {
		a := netip.MustParseAddr(host)
		conn, err := net.Dial("udp", netip.AddrPortFrom(a, port).String())
		if err != nil {
			if a.Is6() {
				t.Logf("no IPv6 here, IPv4 alone is tested: %v", err)
				continue
			}
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(v5(0, 3)); err != nil {
			t.Fatal(err)
		}
		want[a] = 3
	}
	c.await(uint64(len(want)))
	c.stop()
	got := map[netip.Addr]int{}
	for i := range s.batch.Len() {
		got[exporterAddr(s.batch.SamplerAddress[i])]++
		if s.batch.Transport[i] != flow.UDP || s.batch.TimeReceived[i] == 0 {
			t.Errorf("row %d: transport %d, received %d", i, s.batch.Transport[i], s.batch.TimeReceived[i])
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rows by exporter %v, want %v", got, want)
	}
}

func TestCollector_SocketsOfAnAddressShareTheExporters(t *testing.T) {
	c := newCollector(t, Config{Workers: 4}, Deps{Log: zerolog.Nop()})
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 200 {
		conn := (&running{Collector: c, t: t}).dial(0)
		for i := range 3 {
			write(t, conn, v5(uint32(i), 1))
		}
	}
	ports := map[uint16]int{}
	for i, r := range c.readers {
		read := 0
		for {
			n, err := r.socket.poll()
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
			read += n
			for j := range n {
				_, from := r.socket.datagram(j)
				if other, ok := ports[from.Port()]; ok && other != i {
					t.Errorf("exporter port %d reached sockets %d and %d", from.Port(), other, i)
				}
				ports[from.Port()] = i
			}
		}
		if read == 0 {
			t.Errorf("socket %d got nothing", i)
		}
	}
	if len(ports) != 200 {
		t.Errorf("%d exporters, want 200", len(ports))
	}
}

// A worker that may not hand over does not read: the socket fills, the kernel
// drops and every datagram is accounted for.
func TestCollector_SentIsReadPlusDropped(t *testing.T) {
	const sent, records = 3000, 10
	release := make(chan struct{})
	s := &sink{}
	c := start(t, Config{Workers: 1, ReceiveBuffer: 4096, BatchRows: 1}, Deps{
		Log: zerolog.Nop(),
		Handle: func(ctx context.Context, b *flow.Batch) error {
			<-release
			return s.handle(ctx, b)
		},
	})
	conn := c.dial(0)
	for i := range sent {
		write(t, conn, v5(uint32(i*records), records))
	}
	close(release)
	c.await(sent)
	write(t, conn, v5(sent*records, records)) // its number tells of all that was dropped before
	c.await(sent + 1)
	c.stop()
	counts := c.Counts()
	sockets, exporter := counts[0], counts[1]
	if sockets.Expected != sent+1 || sockets.Received+sockets.Shed != sent+1 {
		t.Errorf("sent %d, read %d, dropped %d", sent, sockets.Received, sockets.Shed)
	}
	if sockets.Shed == 0 {
		t.Error("nothing was dropped: the test does not show back-pressure")
	}
	if got, want := uint64(s.rows()), sockets.Received*records; got != want || exporter.Received != want {
		t.Errorf("%d rows, %d records accounted, want %d", got, exporter.Received, want)
	}
	if lost := exporter.Expected - exporter.Received; lost != sockets.Shed*records {
		t.Errorf("%d records lost by sequence, %d dropped by the kernel", lost, sockets.Shed*records)
	}
}

func TestCollector_StopHandsOverWhatTheSocketsHold(t *testing.T) {
	s := &sink{}
	c := newCollector(t, Config{BatchRows: 1 << 20, FlushInterval: time.Minute}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	conn := (&running{Collector: c, t: t}).dial(0)
	for i := range 50 {
		write(t, conn, v5(uint32(i*5), 5))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if s.rows() != 250 {
		t.Errorf("%d rows, want 250", s.rows())
	}
}

// What a stop leaves unread is counted too: sent is read, and read is decoded or shed.
func TestCollector_StopCountsWhatItLeavesUnread(t *testing.T) {
	slow := func(context.Context, *flow.Batch) error { time.Sleep(time.Millisecond); return nil }
	r := start(t, Config{Workers: 1, BatchRows: 1, DrainTimeout: 2 * time.Millisecond}, Deps{Log: zerolog.Nop(), Handle: slow})
	const sent = 1000
	conn := r.dial(0)
	for i := range sent {
		write(t, conn, v5(uint32(i), 1))
	}
	r.stop()
	e := r.Exporters()[0]
	if got := r.Totals(); got.Datagrams+got.KernelDrops != sent || got.Shed == 0 || got.Flows+got.Shed != got.Datagrams {
		t.Errorf("%d sent, %+v: want all read or dropped, and those read decoded or shed", sent, got)
	}
	if e.ShedBy["stopped"] != r.Totals().Shed || e.Lost != 0 {
		t.Errorf("shed by %v, %d lost: want all by the stop, and none lost beside", e.ShedBy, e.Lost)
	}
}

func TestCollector_RowsWaitNoLongerThanTheFlushInterval(t *testing.T) {
	s := &sink{}
	c := start(t, Config{BatchRows: 1 << 20, FlushInterval: 20 * time.Millisecond}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := c.dial(0)
	for i := range 3 {
		write(t, conn, v5(uint32(i), 1))
		for end := time.Now().Add(10 * time.Second); s.rows() <= i; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("row %d has not been handed over", i)
			}
		}
	}
}

func TestCollector_ErrorOfHandleEndsRun(t *testing.T) {
	refuse := errors.New("disk is gone")
	c := newCollector(t, Config{}, Deps{Log: zerolog.Nop(), Handle: func(context.Context, *flow.Batch) error { return refuse }})
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	write(t, (&running{Collector: c, t: t}).dial(0), v5(0, 7))
	if err := c.Run(context.Background()); !errors.Is(err, refuse) {
		t.Errorf("Run: %v, want %v", err, refuse)
	}
	if c.lost.Load() != 7 {
		t.Errorf("%d rows counted as lost, want 7", c.lost.Load())
	}
}

func TestCollector_PortInUseSaysWhatToDo(t *testing.T) {
	share := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(cerr, err)
	}}
	for name, other := range map[string]net.ListenConfig{"alone": {}, "that would share": share} {
		t.Run("held by a program "+name, func(t *testing.T) {
			held, err := other.ListenPacket(context.Background(), "udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			address := held.LocalAddr().String()
			c := newCollector(t, Config{Listen: []string{"127.0.0.1:0", address}, Workers: 2}, Deps{Log: zerolog.Nop()})
			err = c.Listen()
			if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "ss -lunp") {
				t.Errorf("Listen: %v, want an error that names %s and says how to find who holds it", err, address)
			}
			if len(c.Addrs()) != 0 {
				t.Error("the first address stayed open")
			}
		})
	}
}

func TestCollector_ExportersNotAllowedAreCountedAsShed(t *testing.T) {
	s := &sink{}
	c := start(t, Config{Allow: []Network{prefix("192.0.2.0/24")}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := c.dial(0)
	for i := range 5 {
		write(t, conn, v5(uint32(i), 1))
	}
	c.await(5)
	c.stop()
	if counts := c.Counts(); s.rows() != 0 || len(counts) != 2 || counts[1].Shed != 5 || counts[1].Expected != 0 {
		t.Errorf("%d rows, counts %+v, want no row and 5 datagrams shed", s.rows(), counts)
	}
}

func TestCollector_LongestPrefixSetsClockAndSampling(t *testing.T) {
	s := &sink{}
	c := start(t, Config{Exporters: []ExporterConfig{
		{Address: prefix("127.0.0.0/8"), SamplingRate: 10},
		{Address: prefix("127.0.0.1/32"), SamplingRate: 500, SamplingOverride: true, Clock: AsExported},
		{Address: prefix("0.0.0.0/0"), SamplingRate: 3},
	}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	write(t, c.dial(0), v5(0, 1))
	c.await(1)
	c.stop()
	if s.rows() != 1 || s.batch.SamplingRate[0] != 500 || s.batch.Quality[0]&flow.AsExported == 0 || s.batch.Quality[0]&flow.SamplingFromConfig == 0 {
		t.Errorf("rate %v, quality %v", s.batch.SamplingRate, s.batch.Quality)
	}
	e := c.Exporters()
	if len(e) != 1 || e[0].SamplingSource != "config" || e[0].SamplingRate != 500 || e[0].Clock != AsExported {
		t.Errorf("status %+v", e)
	}
}

func TestCollector_ExportersPastTheBoundShareAnEntry(t *testing.T) {
	c := start(t, Config{MaxExporters: 4}, Deps{Log: zerolog.Nop()})
	conn := c.dial(0)
	for i := range 20 {
		b := v5(0, 1)
		b[20], b[21] = 0, byte(i) // engine id: a domain each
		write(t, conn, b)
	}
	c.await(20)
	c.stop()
	counts := c.Counts()
	var records uint64
	for _, x := range counts[1:] {
		records += x.Received
	}
	if len(counts) != 6 || records != 20 { // sockets, 4, the others
		t.Errorf("%d rows of %d records, want 6 of 20: %+v", len(counts), records, counts)
	}
	if other := counts[1]; other.Exporter != [16]byte{} || other.Protocol != flow.NetFlowV5 || other.Received != 16 {
		t.Errorf("the entry of the others is %+v", other)
	}
}

// Whatever arrives is a row or a count, and memory stays bounded.
func TestCollector_HostileDatagramsOnlyCount(t *testing.T) {
	s := &sink{}
	c := start(t, Config{}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := c.dial(0)
	random := rand.New(rand.NewPCG(1, 2))
	var sent uint64
	send := func(b []byte) {
		write(t, conn, b)
		if sent++; sent%64 == 0 {
			c.await(sent)
		}
	}
	junk := make([]byte, 65507)
	for i := range junk {
		junk[i] = byte(random.Uint32())
	}
	headers := [][]byte{nil, {0, 1}, {0, 5}, {0, 7}, {0, 9}, {0, 10}, {0, 0, 0, 5, 0, 0, 0, 1}, {0, 0, 0, 5, 0, 0, 0, 2}}
	for _, h := range headers {
		for _, size := range []int{0, 1, 2, 3, 4, 7, 8, 15, 16, 19, 20, 23, 24, 27, 28, 47, 72, 200, 1500, 9000, 65507} {
			copy(junk, h)
			send(junk[:size])
		}
	}
	whole := v5(0, 30)
	for n := range whole {
		send(whole[:n])
	}
	for id := range 5000 { // a flood of templates
		b := []byte{0, 9, 0, 1, 0, 1, 0, 0, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 12, byte(id>>8) + 1, byte(id), 0, 1, 0, 1, 0, 4}
		send(b)
	}
	c.await(sent)
	c.stop()
	var datagrams uint64
	reasons := map[string]uint64{}
	for _, e := range c.Exporters() {
		datagrams += e.Datagrams
		for r, n := range e.Undecodable {
			reasons[r] += n
		}
	}
	if drops := c.kernelDrops(); datagrams+drops != sent {
		t.Errorf("%d accounted, %d dropped, %d sent", datagrams, drops, sent)
	}
	if reasons["panic"] != 0 || reasons["version"] == 0 || reasons["short"] == 0 || reasons["limit"] == 0 {
		t.Errorf("reasons %v, want version, short and limit, and no panic", reasons)
	}
}

func TestCollector_UndecodableIsLoggedOnceInAWhile(t *testing.T) {
	var log bytes.Buffer
	c := newCollector(t, Config{}, Deps{Log: zerolog.New(&log)})
	for range 1000 {
		o := observation{datagram: flow.Datagram{Received: 1e18}}
		c.decode(c.netflow, new(flow.Batch), []byte{0xde, 0xad, 0xbe, 0xef}, &o)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "deadbeef") {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

func TestCollector_MetricsAreNamedAndBounded(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	c := newCollector(t, Config{}, Deps{Log: zerolog.Nop(), Registerer: registry})
	for i := range 3 * maxExporterLabels {
		o := observation{datagram: flow.Datagram{Exporter: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).As16(), Received: 1e18}}
		c.decode(c.netflow, new(flow.Batch), v5(0, 1), &o)
		c.accounts.add([]observation{o}, nil)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) < 10 {
		t.Errorf("%d families of metrics", len(families))
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "tidemark_collector_") {
			t.Errorf("metric %s", f.GetName())
		}
		if n := len(f.GetMetric()); n > maxExporterLabels+1 {
			t.Errorf("%s has %d series", f.GetName(), n)
		}
		if f.GetName() == "tidemark_collector_flows_total" {
			var sum float64
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
			if sum != 3*maxExporterLabels {
				t.Errorf("flows_total sums to %v, want %d", sum, 3*maxExporterLabels)
			}
		}
	}
}
