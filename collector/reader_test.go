package collector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"tidemark/collector/flow"
)

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
