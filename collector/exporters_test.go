package collector

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/rs/zerolog"

	"tidemark/collector/flow"
	"tidemark/collector/sflow"
)

// traffic is one capture of real device traffic and what is known of it.
type traffic struct {
	file            string
	packets, octets uint64 // of IP packets, octets from the IP header with Ethernet padding
}

// iotTraffic reads the manifest of the captures that have an Ethernet layer.
func iotTraffic(t *testing.T) (out []traffic) {
	t.Helper()
	dir := filepath.Join(captures(t), "iot")
	f, err := os.Open(filepath.Join(dir, "MANIFEST.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var column map[string]int
	for lines.Scan() {
		c := strings.Split(lines.Text(), "\t")
		if column == nil {
			column = map[string]int{}
			for i, name := range c {
				column[name] = i
			}
			continue
		}
		get := func(name string) string { return c[column[name]] }
		packets, err1 := strconv.ParseUint(get("ip_packets"), 10, 64)
		octets, err2 := strconv.ParseUint(get("l3_bytes_incl_eth_padding"), 10, 64)
		if err1 != nil || err2 != nil || get("encap") != "ether" || packets == 0 || strings.HasPrefix(get("file"), "generated/") {
			continue // not a capture of device traffic, or nothing to export
		}
		if get("file") == "suricata-verify/eve-flow-vlan__input.pcap" {
			continue // softflowd calls its double-tagged frame "non-IP" and exports one packet of two
		}
		out = append(out, traffic{filepath.Join(dir, get("file")), packets, octets})
	}
	if len(out) < 60 {
		t.Fatalf("%d captures in the manifest, want at least 60", len(out))
	}
	return out
}

func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if p := filepath.Join(dir, name); fileExists(p) {
			return p
		}
	}
	missing(t, name+" is not installed (Debian: apt-get install softflowd pmacct nfdump nfdump-sflow)")
	return ""
}

func fileExists(p string) bool {
	s, err := os.Stat(p)
	return err == nil && s.Mode().IsRegular()
}

// export runs softflowd over a capture; it returns what softflowd said.
func export(t *testing.T, softflowd, file string, to fmt.Stringer, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a := append([]string{"-d", "-a", "-r", file, "-n", to.String(), "-c", "none", "-p", "none", "-m", "500000"}, arguments...)
	out, err := exec.CommandContext(ctx, softflowd, a...).CombinedOutput()
	if err != nil {
		t.Fatalf("softflowd %s: %v\n%s", file, err, out)
	}
	return string(out)
}

// settle waits until nothing has arrived for a while: the exporter has ended.
func (r *running) settle() {
	last, since := uint64(0), time.Now()
	for time.Since(since) < 50*time.Millisecond {
		if n := r.Counts()[0].Expected; n != last {
			last, since = n, time.Now()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestCollector_SoftflowdTotalsAreTheTrafficItSaw(t *testing.T) {
	softflowd := tool(t, "softflowd")
	all := iotTraffic(t)
	tests := []struct {
		name      string
		arguments []string
		ipv4Only  bool
		biflow    bool
	}{
		{"netflow_v9", []string{"-v", "9", "-T", "ether"}, false, false},
		{"ipfix", []string{"-v", "10", "-T", "ether", "-A", "milli"}, false, false},
		{"ipfix_biflow", []string{"-v", "10", "-T", "ether", "-A", "milli", "-b"}, false, true},
		{"netflow_v5", []string{"-v", "5", "-T", "ether"}, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peer := startPeer(t, "nfcapd")
			var sum totals
			for i, c := range all {
				if tt.ipv4Only && hasIPv6(t, c.file) || testing.Short() && i%10 != 0 {
					continue // NetFlow v5 has no IPv6
				}
				s := &sink{}
				r := start(t, Config{Tee: []string{peer.address}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
				said := export(t, softflowd, c.file, r.Addrs()[0], tt.arguments...)
				r.settle()
				r.stop()
				packets, octets := s.totals()
				sum.add(totals{uint64(s.rows()), packets, octets})
				if packets != c.packets || octets != c.octets {
					t.Errorf("%s: %d packets, %d octets, want %d and %d\n%+v", c.file, packets, octets, c.packets, c.octets, r.Exporters())
					t.Log(said)
				}
				for _, e := range r.Exporters() {
					if strings.HasPrefix(tt.name, "ipfix") && e.Datagrams > 2 && e.Expected != uint64(e.LastSequence) {
						t.Errorf("%s: %d records expected, the last number is %d", c.file, e.Expected, e.LastSequence)
					}
					if e.Lost != 0 || len(e.Undecodable) != 0 || e.Duplicates+e.Reordered+e.Restarts != 0 {
						t.Errorf("%s: %+v", c.file, e)
					}
				}
			}
			theirs := peer.totals()
			t.Logf("nfcapd stored %+v, we %+v", theirs, sum)
			if tt.biflow { // it keeps both directions in one record
				theirs.flows = sum.flows
			}
			if theirs != sum {
				t.Errorf("nfcapd stored %+v, we %+v", theirs, sum)
			}
		})
	}
}

// hasIPv6 looks for an IPv6 packet.
func hasIPv6(t *testing.T, file string) bool {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := openCapture(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		link, packet, _, err := c.next()
		if err != nil {
			return false
		}
		if ip, ok := network(link, packet); ok && len(ip) > 0 && ip[0]>>4 == 6 {
			return true
		}
	}
}

// relay passes datagrams on and counts flow samples on its own.
type relay struct {
	in              *net.UDPConn
	samples, octets uint64 // of the IP packets sampled, by their own length
	datagrams       uint64
	done            chan struct{}
}

func startRelay(t *testing.T, to *net.UDPConn) *relay {
	t.Helper()
	in, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = in.SetReadBuffer(32 << 20)
	r := &relay{in: in, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		b := make([]byte, 65536)
		for {
			n, err := in.Read(b)
			if err != nil {
				return
			}
			r.datagrams++
			r.count(b[:n])
			if _, err := to.Write(b[:n]); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	return r
}

// count walks the samples of a datagram from an IPv4 agent (sFlow v5, Section 5).
func (r *relay) count(b []byte) {
	u := binary.BigEndian.Uint32
	for b = b[28:]; len(b) >= 8; b = b[8+u(b[4:]):] {
		if u(b) != 1 {
			continue // not a flow sample
		}
		r.samples++
		sample := b[8 : 8+u(b[4:])]
		for rec := sample[32:]; len(rec) >= 8; rec = rec[8+u(rec[4:]):] {
			if u(rec) == 1 { // raw packet header: protocol, frame length, stripped, header length, header
				ip := rec[24 : 24+u(rec[20:])]
				if u(rec[8:]) == 1 { // Ethernet; 11 and 12 are IP itself
					ip, _ = network(layers.LinkTypeEthernet, ip)
				}
				switch {
				case len(ip) < 6: // no IP packet: its frame counts
					r.octets += uint64(u(rec[12:]))
				case ip[0]>>4 == 4:
					r.octets += uint64(binary.BigEndian.Uint16(ip[2:]))
				default:
					r.octets += 40 + uint64(binary.BigEndian.Uint16(ip[4:]))
				}
			}
		}
	}
}

func TestCollector_PmacctSFlowTotalsAreWhatWasOnTheWire(t *testing.T) {
	pmacctd := tool(t, "pmacctd")
	names := []string{"arkime/mqtt_big.pcap", "fit-labelled/blink-cam-01.pcap", "ndpi/modbus.pcap", "ndpi/coap_mqtt.pcap",
		"ndpi/nest_log_sink.pcap", "ipfixprobe/wg.pcap", "ndpi/synscan.pcap"}
	for _, tr := range iotTraffic(t) {
		if os.Getenv("TIDEMARK_SOAK") == "" && !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(tr.file, n) }) {
			continue
		}
		t.Run(filepath.Base(tr.file), func(t *testing.T) {
			t.Parallel() // pmacctd sleeps most of the time
			s, peer := &sink{}, startPeer(t, "sfcapd")
			c := start(t, Config{Tee: []string{peer.address}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
			wire := startRelay(t, c.dial(0))
			runPmacct(t, pmacctd, tr.file, wire.in.LocalAddr())
			c.settle()
			wire.in.Close()
			<-wire.done
			c.stop()

			packets, octets := s.totals()
			t.Logf("%d of %d packets, %d of %d octets: pmacctd drops its last unsent datagram", wire.samples, tr.packets, wire.octets, tr.octets)
			if packets != wire.samples || uint64(s.rows()) != wire.samples || octets != wire.octets {
				t.Errorf("%d rows of %d packets and %d octets, want %d and %d", s.rows(), packets, octets, wire.samples, wire.octets)
			}
			// sfcapd counts the octets of frames.
			if theirs, ours := peer.totals(), (totals{uint64(s.rows()), packets, s.frames()}); theirs != ours {
				t.Errorf("sfcapd stored %+v, we %+v", theirs, ours)
			}
			if wire.samples == 0 || packets > tr.packets {
				t.Errorf("%d of %d packets sampled", packets, tr.packets)
			}
			for _, e := range c.Exporters() {
				if e.Datagrams != wire.datagrams || e.Lost != 0 || len(e.Undecodable) != 0 {
					t.Errorf("%d datagrams on the wire: %+v", wire.datagrams, e)
				}
			}
		})
	}
}

// frames sums up the octets of frames: dataLinkFrameSize (IE 312), or what the
// raw header says that could not be read whole.
func (s *sink) frames() (octets uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.batch.Len() {
		if v, ok := s.batch.Ext.Value(i, flow.ExtensionKey(0, 312)); ok {
			octets += uint64(binary.BigEndian.Uint32(v))
		} else if v, ok := s.batch.Ext.Value(i, flow.ExtensionKey(sflow.EnterpriseSFlow, 1)); ok {
			octets += uint64(binary.BigEndian.Uint32(v[4:]))
		}
	}
	return octets
}

func runPmacct(t *testing.T, pmacctd, file string, to net.Addr) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "p.conf")
	text := fmt.Sprintf("daemonize: false\npcap_savefile: %s\nplugins: sfprobe[a]\nsfprobe_receiver[a]: %s\nsampling_rate: 1\nsfprobe_agentip[a]: 192.0.2.7\nplugin_buffer_size: 10240\nplugin_pipe_size: 104857600\n", file, to)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// It exits with 1 when the last of its plugins has ended as it should.
	_ = exec.CommandContext(ctx, pmacctd, "-f", conf).Run()
}
