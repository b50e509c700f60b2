package main

import (
	"context"
	"encoding/binary"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/sitesim/internal/export"
)

func TestLoopback_RefusesEveryOtherTarget(t *testing.T) {
	for _, s := range []string{"127.0.0.1:2055", "127.9.9.9:1", "[::1]:4739", "[::ffff:127.0.0.1]:2055"} {
		if _, err := loopback(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "localhost:2055", "127.0.0.1", "127.0.0.1:0", "0.0.0.0:2055", "10.0.0.1:2055", "192.0.2.1:2055", "[::]:2055", "[2001:db8::1]:2055", "[::ffff:10.0.0.1]:2055", "255.255.255.255:2055", "224.0.0.1:2055"} {
		if _, err := loopback(s); err == nil {
			t.Errorf("%s is accepted", s)
		}
	}
}

// listen opens a socket that plays the collector.
func listen(t *testing.T) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadBuffer(8 << 20); err != nil {
		t.Fatal(err)
	}
	return conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// drain reads what has arrived and hands it to f.
func drain(t *testing.T, conn *net.UDPConn, f func(from netip.AddrPort, payload []byte)) {
	t.Helper()
	buf := make([]byte, 65536)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		f(from, append([]byte(nil), buf[:n]...))
	}
}

func TestUDPOutput_EachRouterHasItsOwnSourceAndKeepsItsPort(t *testing.T) {
	conn, to := listen(t)
	o, st := plain(), fresh(1)
	targets := map[string]netip.AddrPort{"A": to, "B": to, "C": to, "D": to}
	d := newDecoder(t)
	from := map[string]map[netip.AddrPort]bool{}
	for range 2 { // two runs on one state: sequence numbers and source ports go on
		out, err := dialUDP(o.Exporters, targets, st.Ports, &pacer{})
		if err != nil {
			t.Fatal(err)
		}
		live(t, o, st, out, 20*time.Minute)
		if err := out.close(); err != nil {
			t.Fatal(err)
		}
		drain(t, conn, func(src netip.AddrPort, payload []byte) {
			for _, name := range o.Exporters {
				if router(name).Source == src.Addr().String() {
					if from[name] == nil {
						from[name] = map[netip.AddrPort]bool{}
					}
					from[name][src] = true
					if err := d.send(name, export.Datagram{Payload: payload, Records: unknown}); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
	for _, name := range o.Exporters {
		if len(from[name]) != 1 {
			t.Errorf("exporter %s sent from %v, want one address and port", name, from[name])
		}
	}
}

func TestUDPOutput_GoesOnWhenNobodyListens(t *testing.T) {
	conn, to := listen(t)
	conn.Close()
	out, err := dialUDP([]string{"A"}, map[string]netip.AddrPort{"A": to}, map[string]uint16{}, &pacer{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.close()
	for range 50 {
		if err := out.send("A", export.Datagram{Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if out.refused == 0 {
		t.Error("no refusal was counted")
	}
}

// wall is a clock that moves only while somebody sleeps.
type wall struct {
	at   time.Time
	stop error // what sleeping fails with
}

func (w *wall) pacer(speed float64) *pacer {
	return &pacer{speed: speed, now: func() time.Time { return w.at }, sleep: func(d time.Duration) error {
		w.at = w.at.Add(d)
		return w.stop
	}}
}

// noting notes when each datagram of a UDP output went.
type noting struct {
	*udpOutput
	clock *wall
	sent  map[string][]int64 // virtual times by router
	went  []time.Duration    // real time since began, and
	due   []time.Duration    // virtual time since the first datagram, of each
	began time.Time
	first int64
}

func (o *noting) send(router string, d export.Datagram) error {
	if err := o.udpOutput.send(router, d); err != nil {
		return err
	}
	if o.first == 0 {
		o.first = d.At
	}
	o.sent[router] = append(o.sent[router], d.At)
	o.went, o.due = append(o.went, o.clock.at.Sub(o.began)), append(o.due, time.Duration(d.At-o.first))
	return nil
}

// TestUDPOutput_RealTimeFollowsVirtualTime: at --speed 60 an hour goes in a minute, no datagram
// before its time, and what arrives was exported at the virtual times, in order.
func TestUDPOutput_RealTimeFollowsVirtualTime(t *testing.T) {
	const speed = 60
	conn, to := listen(t)
	clock := &wall{at: time.Unix(1e9, 0)}
	o, st := plain(), fresh(1)
	o.Exporters = []string{"A", "B"} // NetFlow v9 and IPFIX say when they exported, to the second
	udp, err := dialUDP(o.Exporters, map[string]netip.AddrPort{"A": to, "B": to}, st.Ports, clock.pacer(speed))
	if err != nil {
		t.Fatal(err)
	}
	out := &noting{udpOutput: udp, clock: clock, sent: map[string][]int64{}, began: clock.at}
	live(t, o, st, out, time.Hour)
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	latest := time.Duration(0)
	for i, due := range out.due {
		latest = max(latest, due)
		if off := out.went[i] - latest/speed; off < -time.Microsecond || off > time.Microsecond {
			t.Fatalf("datagram %d, exported %s after the first, went after %s", i, due, out.went[i])
		}
	}
	if total := out.went[len(out.went)-1]; total < 58*time.Second || total > time.Minute {
		t.Errorf("an hour took %s, want about a minute", total)
	}
	exported := map[string]int{"A": 8, "B": 4} // offsets of the export time: RFC 3954, Section 5.1; RFC 7011, Section 3.1
	drain(t, conn, func(src netip.AddrPort, payload []byte) {
		for _, name := range o.Exporters {
			if router(name).Source != src.Addr().String() {
				continue
			}
			want := time.Unix(0, out.sent[name][0]).Unix()
			if got := int64(binary.BigEndian.Uint32(payload[exported[name]:])); got != want {
				t.Fatalf("exporter %s: a datagram says it was exported at %d, want %d", name, got, want)
			}
			out.sent[name] = out.sent[name][1:]
		}
	})
	for _, name := range o.Exporters {
		if n := len(out.sent[name]); n > 0 {
			t.Errorf("exporter %s: %d datagrams did not arrive", name, n)
		}
	}
}

// TestScenario_WhoWaitsCanBeStopped: in real time a day is long.
func TestScenario_WhoWaitsCanBeStopped(t *testing.T) {
	_, to := listen(t)
	begin := time.Unix(1e9, 0)
	clock := &wall{at: begin, stop: context.Canceled}
	st := fresh(1)
	out, err := dialUDP([]string{"A"}, map[string]netip.AddrPort{"A": to}, st.Ports, clock.pacer(1))
	if err != nil {
		t.Fatal(err)
	}
	defer out.close()
	o := plain()
	o.Exporters = []string{"A"}
	c, err := newScenario(o, st, out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.runTo(t.Context(), st.Now.Add(24*time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the run was stopped", err)
	}
	if clock.at.Sub(begin) > time.Hour {
		t.Errorf("it went on for %s", clock.at.Sub(begin))
	}
}

// TestSettings_ACaptureHasNoPace: a flag that would do nothing is refused.
func TestSettings_ACaptureHasNoPace(t *testing.T) {
	for _, flag := range [][]string{{"--speed", "1"}, {"--pace", "100"}} {
		a := app()
		a.Writer, a.ErrWriter = io.Discard, io.Discard
		err := a.Run(append([]string{"sitesim", "life", "--days", "0.01", "--pcap", filepath.Join(t.TempDir(), "x.pcap")}, flag...))
		if err == nil || !strings.Contains(err.Error(), "--pcap") {
			t.Errorf("%v: got %v, want a refusal", flag, err)
		}
	}
}

// The simulator is an outside party: what it knows of protocols must not come from what it tests.
func TestSitesim_ImportsNothingOfTidemark(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			if p := strings.Trim(i.Path.Value, `"`); strings.HasPrefix(p, "tidemark/") && !strings.HasPrefix(p, "tidemark/cmd/sitesim/") {
				t.Errorf("%s imports %s", path, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
