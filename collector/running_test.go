package collector

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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
