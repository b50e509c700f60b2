package main

import (
	"errors"
	"go/parser"
	"go/token"
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
