package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tidemark/collector/detect"
)

// exporter is a socket that sends to the daemon of a site, as a router does.
type exporter struct {
	s    *site
	conn *net.UDPConn
	sent int
}

// exporter opens a socket on a loopback address of its own.
func (s *site) exporter(source string) *exporter {
	s.t.Helper()
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(source)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s.udp)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return &exporter{s: s, conn: conn}
}

// send sends one datagram. Every few datagrams it waits until the daemon has
// read them all, so that nothing overflows on any machine.
func (e *exporter) send(payload []byte) {
	e.s.t.Helper()
	_, err := e.conn.Write(payload)
	if errors.Is(err, syscall.ECONNREFUSED) { // the answer to an earlier datagram
		_, err = e.conn.Write(payload)
	}
	if err != nil {
		e.s.t.Fatalf("send %d octets: %v", len(payload), err)
	}
	if e.sent++; e.sent%32 == 0 || len(payload) > 16<<10 {
		e.s.untilRead()
	}
}

// untilRead waits until the daemon's sockets are empty.
func (s *site) untilRead() {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if waiting, _ := s.sockets(); waiting == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the daemon has not read its sockets for a minute")
		}
	}
}

// sockets is what the kernel says of the daemon's UDP sockets: octets waiting,
// and datagrams dropped.
func (s *site) sockets() (waiting, drops uint64) {
	s.t.Helper()
	text, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		s.t.Fatal(err)
	}
	local := fmt.Sprintf("0100007F:%04X", netip.MustParseAddrPort(s.udp).Port())
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 13 || f[1] != local {
			continue
		}
		_, queue, _ := strings.Cut(f[4], ":")
		w, _ := strconv.ParseUint(queue, 16, 64)
		d, _ := strconv.ParseUint(f[12], 10, 64)
		waiting, drops = waiting+w, drops+d
	}
	return waiting, drops
}

// metrics reads /metrics; series of one name are summed, and are there with
// their labels too.
func (s *site) metrics() map[string]float64 {
	s.t.Helper()
	out := map[string]float64{}
	resp, err := http.Get("http://" + s.http + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			s.t.Fatalf("/metrics: %q: %v", line, err)
		}
		name, labels, labelled := strings.Cut(line[:at], "{")
		out[name] += v
		if labelled {
			for l := range strings.SplitSeq(strings.TrimSuffix(labels, "}"), ",") {
				out[name+"{"+l+"}"] += v
			}
		}
	}
	return out
}

// healthz returns the status and text of /healthz.
func (s *site) healthz() (int, string) {
	s.t.Helper()
	resp, err := http.Get("http://" + s.http + "/healthz")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// captures returns the directory of the real captures, or skips: with CI=true
// it must be there.
func captures(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TIDEMARK_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "captures")
	}
	if _, err := os.Stat(dir); err != nil {
		why := fmt.Sprintf("no captures: %v (set TIDEMARK_CAPTURES)", err)
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return dir
}

// exportCaptures lists the captures of real exports.
func exportCaptures(t testing.TB) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(captures(t), "exports"), func(path string, _ os.DirEntry, err error) error {
		if filepath.Ext(path) == ".pcap" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// capturedDatagram is one UDP datagram of a capture.
type capturedDatagram struct {
	from    netip.AddrPort
	payload []byte
}

// datagrams reads the export datagrams out of a capture with another reader
// than the collector's.
func datagrams(t testing.TB, path string) (out []capturedDatagram) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var source *gopacket.PacketSource
	if r, err := pcapgo.NewReader(f); err == nil {
		source = gopacket.NewPacketSource(r, r.LinkType())
	} else {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		ng, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		source = gopacket.NewPacketSource(ng, ng.LinkType())
	}
	for {
		packet, err := source.NextPacket()
		if err != nil {
			return out // a capture that is cut short ends here too
		}
		udp, ok := packet.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if !ok {
			continue
		}
		if _, ok := detect.Protocol(udp.Payload); !ok {
			continue
		}
		from, _ := netip.AddrFromSlice(packet.NetworkLayer().NetworkFlow().Src().Raw())
		out = append(out, capturedDatagram{netip.AddrPortFrom(from, uint16(udp.SrcPort)), udp.Payload})
	}
}
