package collector

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/rs/zerolog"

	"tidemark/collector/flow"
)

func replay(t testing.TB, o ReplayOptions) (*Collector, *sink, Summary, error) {
	t.Helper()
	s := &sink{}
	c := newCollector(t, Config{}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	sum, err := c.Replay(context.Background(), o)
	return c, s, sum, err
}

// captured is a packet to be written to a capture file.
type captured struct {
	data []byte
	at   time.Time
}

func pcapOf(t testing.TB, link layers.LinkType, packets ...captured) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(65535, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(p.data), Length: len(p.data)}, p.data); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// ipv4 makes an IPv4 packet, or fragment, around a part of a UDP datagram.
func ipv4Fragment(id uint16, offset int, more bool, body []byte) []byte {
	b := make([]byte, 20, 20+len(body))
	b[0], b[8], b[9] = 0x45, 64, protocolUDP
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(body)))
	binary.BigEndian.PutUint16(b[4:], id)
	flags := uint16(offset / 8)
	if more {
		flags |= 0x2000
	}
	binary.BigEndian.PutUint16(b[6:], flags)
	copy(b[12:], []byte{192, 0, 2, 1, 192, 0, 2, 254})
	return append(b, body...)
}

func ipv6(extension, body []byte, next byte) []byte {
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(extension)+len(body)))
	copy(b[8:], netip.MustParseAddr("2001:db8::1").AsSlice())
	copy(b[24:], netip.MustParseAddr("2001:db8::2").AsSlice())
	return append(append(b, extension...), body...)
}

func udpOf(payload []byte) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b, 40000)
	binary.BigEndian.PutUint16(b[2:], 12345) // no port of an exporter: content decides
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return append(b, payload...)
}

func TestReplay_ReadsLinkLayersTagsAndFragments(t *testing.T) {
	payload := v5(0, 10)
	packet := ipv4Fragment(1, 0, false, udpOf(payload))
	whole := udpOf(payload)
	ethernet := func(kind ...byte) []byte { return append(make([]byte, 12), kind...) }
	fragment6 := func(offset int, more byte) []byte {
		return []byte{protocolUDP, 0, byte(offset >> 8), byte(offset) | more, 0, 0, 0, 9}
	}
	join := func(a ...[]byte) []byte { return bytes.Join(a, nil) }
	loop := func(ps ...[]byte) (out []captured) {
		for _, p := range ps {
			out = append(out, captured{data: p, at: time.Unix(1, 0)})
		}
		return out
	}
	tests := []struct {
		name    string
		link    layers.LinkType
		packets []captured
	}{
		{"Ethernet", layers.LinkTypeEthernet, loop(join(ethernet(8, 0), packet))},
		{"Ethernet with padding", layers.LinkTypeEthernet, loop(join(ethernet(8, 0), packet, make([]byte, 30)))},
		{"VLAN", layers.LinkTypeEthernet, loop(join(ethernet(0x81, 0, 0, 5, 8, 0), packet))},
		{"two VLAN tags", layers.LinkTypeEthernet, loop(join(ethernet(0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0), packet))},
		{"Linux cooked", layers.LinkTypeLinuxSLL, loop(join(make([]byte, 14), []byte{8, 0}, packet))},
		{"Linux cooked v2", layers.LinkTypeLinuxSLL2, loop(join([]byte{8, 0}, make([]byte, 18), packet))},
		{"raw", layers.LinkTypeRaw, loop(packet)},
		{"loopback", layers.LinkTypeNull, loop(join([]byte{2, 0, 0, 0}, packet))},
		{"OpenBSD loopback", layers.LinkTypeLoop, loop(join([]byte{0, 0, 0, 2}, packet))},
		{"IPv6", layers.LinkTypeRaw, loop(ipv6(nil, whole, protocolUDP))},
		{"IPv6 with hop-by-hop options", layers.LinkTypeIPv6, loop(ipv6([]byte{protocolUDP, 0, 0, 0, 0, 0, 0, 0}, whole, 0))},
		{"fragments", layers.LinkTypeRaw, loop(ipv4Fragment(7, 0, true, whole[:200]), ipv4Fragment(7, 200, true, whole[200:400]), ipv4Fragment(7, 400, false, whole[400:]))},
		{"fragments in disorder, one twice", layers.LinkTypeRaw, loop(ipv4Fragment(7, 400, false, whole[400:]), ipv4Fragment(7, 200, true, whole[200:400]),
			ipv4Fragment(7, 200, true, whole[200:400]), ipv4Fragment(7, 0, true, whole[:200]))},
		{"fragments of IPv6", layers.LinkTypeRaw, loop(ipv6(fragment6(200, 0), whole[200:], 44), ipv6(fragment6(0, 1), whole[:200], 44))},
	}
	want := Summary{Datagrams: 1, Octets: uint64(len(payload)), Flows: 10, Undecodable: map[string]uint64{}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := pcapOf(t, tt.link, tt.packets...)
			_, s, sum, err := replay(t, ReplayOptions{Reader: bytes.NewReader(file)})
			if err != nil || !reflect.DeepEqual(sum, want) {
				t.Fatalf("got %+v, %v, want %+v", sum, err, want)
			}
			if s.batch.Transport[0] != flow.File || s.batch.Quality[0]&(flow.Replayed|flow.AsExported) != flow.Replayed|flow.AsExported {
				t.Errorf("transport %d, quality %b", s.batch.Transport[0], s.batch.Quality[0])
			}
			if age := time.Since(time.Unix(0, s.batch.TimeReceived[0])); age < 0 || age > time.Hour {
				t.Errorf("received %s ago, want now", age)
			}
			if a := exporterAddr(s.batch.SamplerAddress[0]); a != netip.MustParseAddr("192.0.2.1") && a != netip.MustParseAddr("2001:db8::1") {
				t.Errorf("exporter %s", a)
			}
		})
	}
}

func TestReplay_FragmentsThatNeverBecomeWholeAreCounted(t *testing.T) {
	whole := udpOf(v5(0, 10))
	var packets []captured
	for id := range 3 * maxAssemblies {
		packets = append(packets, captured{data: ipv4Fragment(uint16(id), 0, true, whole[:200])})
	}
	_, _, sum, err := replay(t, ReplayOptions{Reader: bytes.NewReader(pcapOf(t, layers.LinkTypeRaw, packets...))})
	if err != nil || sum.Undecodable["short"] != 3*maxAssemblies || sum.Flows != 0 {
		t.Errorf("got %+v, %v", sum, err)
	}
}

func TestReplay_OtherTrafficIsPassedOver(t *testing.T) {
	dns := udpOf([]byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	tcp := ipv4Fragment(1, 0, false, make([]byte, 20))
	tcp[9] = 6
	file := pcapOf(t, layers.LinkTypeRaw, captured{data: ipv4Fragment(1, 0, false, dns)}, captured{data: tcp}, captured{data: []byte{1, 2, 3}},
		captured{data: ipv4Fragment(2, 0, false, udpOf(v5(0, 2)))})
	_, _, sum, err := replay(t, ReplayOptions{Reader: bytes.NewReader(file)})
	if err != nil || sum.Datagrams != 1 || sum.Flows != 2 || len(sum.Undecodable) != 0 {
		t.Errorf("got %+v, %v", sum, err)
	}
}

func TestReplay_FormatsOfFiles(t *testing.T) {
	first := ipv4Fragment(1, 0, false, udpOf(v5(0, 2)))
	pcap := pcapOf(t, layers.LinkTypeRaw, captured{data: first}, captured{data: ipv4Fragment(2, 0, false, udpOf(v5(2, 3)))})
	var ng bytes.Buffer
	w, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeRaw)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range []int{2, 3} {
		p := ipv4Fragment(uint16(i), 0, false, udpOf(v5(uint32(2*i), n)))
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(p), Length: len(p)}, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	squeeze := func(b []byte) []byte {
		var z bytes.Buffer
		g := gzip.NewWriter(&z)
		_, _ = g.Write(b)
		_ = g.Close()
		return z.Bytes()
	}
	files := map[string][]byte{"pcap": pcap, "pcapng": ng.Bytes(), "pcap.gz": squeeze(pcap), "pcapng.gz": squeeze(ng.Bytes())}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			var at, total int64
			_, _, sum, err := replay(t, ReplayOptions{Files: []string{path, path}, Progress: func(o, n int64) { at, total = o, n }})
			if err != nil || sum.Datagrams != 4 || sum.Flows != 10 {
				t.Errorf("got %+v, %v", sum, err)
			}
			if at != total || total != int64(2*len(file)) {
				t.Errorf("progress ends at %d of %d, want %d", at, total, 2*len(file))
			}
		})
		t.Run(name+" cut short anywhere", func(t *testing.T) {
			previous := uint64(0)
			for n := range file {
				_, s, sum, err := replay(t, ReplayOptions{Reader: bytes.NewReader(file[:n]), Name: "cut"})
				if sum.Flows != uint64(s.rows()) || sum.Flows < previous && !strings.HasSuffix(name, "gz") {
					t.Fatalf("%d octets: %+v, %d rows", n, sum, s.rows())
				}
				previous = sum.Flows
				between := n == pcapFileHeader || n == pcapFileHeader+pcapPacketHeader+len(first)
				if err == nil && (strings.HasSuffix(name, "gz") || name == "pcap" && !between) {
					t.Fatalf("%d octets: no error, %+v", n, sum)
				}
				if err != nil && !strings.Contains(err.Error(), "replay cut") {
					t.Fatalf("%d octets: %v does not name the file", n, err)
				}
			}
		})
	}
	for name, bad := range map[string]string{"empty": "", "text": "hello, this is no capture", "short": "abc"} {
		if _, _, _, err := replay(t, ReplayOptions{Reader: strings.NewReader(bad), Name: name}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s file: %v", name, err)
		}
	}
}

func TestReplay_CutFileNamesTheOffsetAndTheOthersAreRead(t *testing.T) {
	p := captured{data: ipv4Fragment(1, 0, false, udpOf(v5(0, 2)))}
	file := pcapOf(t, layers.LinkTypeRaw, p, p, p)
	cut := filepath.Join(t.TempDir(), "cut.pcap")
	good := filepath.Join(t.TempDir(), "good.pcap")
	for path, b := range map[string][]byte{cut: file[:len(file)-1], good: file} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, _, sum, err := replay(t, ReplayOptions{Files: []string{cut, filepath.Join(t.TempDir(), "none"), good}})
	if sum.Datagrams != 5 || sum.Flows != 10 {
		t.Errorf("got %+v, want 5 datagrams", sum)
	}
	third := pcapFileHeader + 2*(pcapPacketHeader+len(p.data))
	if err == nil || !strings.Contains(err.Error(), cut) || !strings.Contains(err.Error(), "octet "+itoa(third)) || !strings.Contains(err.Error(), "none") {
		t.Errorf("error %v, want one that names %s and octet %d", err, cut, third)
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

func TestReplay_UnknownLinkTypeIsAnError(t *testing.T) {
	_, _, _, err := replay(t, ReplayOptions{Reader: bytes.NewReader(pcapOf(t, layers.LinkTypeIEEE802_11, captured{data: []byte{1}})), Name: "wifi"})
	if err == nil || !strings.Contains(err.Error(), "105") {
		t.Errorf("error %v, want one that names link type 105", err)
	}
}

func TestReplay_SpeedKeepsThePaceOfTheCapture(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	file := pcapOf(t, layers.LinkTypeRaw, captured{ipv4Fragment(1, 0, false, udpOf(v5(0, 1))), begin}, captured{ipv4Fragment(2, 0, false, udpOf(v5(1, 1))), begin.Add(time.Hour)})
	_, s, _, err := replay(t, ReplayOptions{Reader: bytes.NewReader(file), Speed: 36000}) // an hour in 0.1 s
	if err != nil {
		t.Fatal(err)
	}
	if apart := time.Duration(s.batch.TimeReceived[1] - s.batch.TimeReceived[0]); apart < 100*time.Millisecond {
		t.Errorf("the packets are %s apart, want at least 100ms", apart)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	c := newCollector(t, Config{}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	sum, err := c.Replay(ctx, ReplayOptions{Reader: bytes.NewReader(file), Speed: 1})
	if err == nil || sum.Flows != 1 || s.rows() != 3 {
		t.Errorf("stopped in the pause: %+v, %v, %d rows; want the first flow handed over, and an error", sum, err, s.rows())
	}
}

func TestSummary_JSON(t *testing.T) {
	b, err := json.Marshal(Summary{Datagrams: 1, Octets: 2, Flows: 3, OptionsRecords: 4, Templates: 5, CounterSamples: 6, Undecodable: map[string]uint64{"short": 7}})
	const want = `{"datagrams":1,"octets":2,"flows":3,"options_records":4,"templates":5,"counter_samples":6,"undecodable":{"short":7}}`
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
}

// Every capture gives the same by both ways, and each octet of it is accounted for.
func TestCollector_CapturesOverUDPEqualReplay(t *testing.T) {
	for _, file := range exportCaptures(t) {
		_, s, want, err := replay(t, ReplayOptions{Files: []string{file}})
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if uint64(s.rows()) != want.Flows {
			t.Errorf("%s: %d rows, %d flows", file, s.rows(), want.Flows)
		}
		got, rows := overUDP(t, file)
		if !reflect.DeepEqual(got, want) || rows != s.rows() {
			t.Errorf("%s: over UDP %+v, %d rows; by replay %+v", file, got, rows, want)
		}
	}
}

// overUDP sends the datagrams of a capture, each of its exporters from a socket of its own.
func overUDP(t *testing.T, file string) (Summary, int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in, err := openCapture(f)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{}
	c := start(t, Config{Workers: 2}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	sockets := map[netip.AddrPort]*net.UDPConn{}
	var packets packetReader
	var sent uint64
	for {
		link, packet, _, err := in.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		d, ok := packets.datagram(link, packet)
		if !ok {
			continue
		}
		if sockets[d.from] == nil {
			sockets[d.from] = c.dial(0)
		}
		write(t, sockets[d.from], d.payload)
		if sent++; sent%32 == 0 {
			c.await(sent)
		}
	}
	c.await(sent)
	c.stop()
	sum := Summary{Undecodable: map[string]uint64{}}
	for _, e := range c.Exporters() {
		sum.Datagrams += e.Datagrams
		sum.Octets += e.Octets
		sum.Flows += e.Flows
		sum.OptionsRecords += e.OptionsRecords
		sum.Templates += e.Templates
		sum.CounterSamples += e.CounterSamples
		for r, n := range e.Undecodable {
			sum.Undecodable[r] += n
		}
	}
	return sum, s.rows()
}

func FuzzReplay(f *testing.F) {
	whole := udpOf(v5(0, 10))
	f.Add(pcapOf(f, layers.LinkTypeRaw, captured{data: ipv4Fragment(1, 0, true, whole[:200])}, captured{data: ipv4Fragment(1, 200, false, whole[200:])}))
	f.Add(pcapOf(f, layers.LinkTypeEthernet, captured{data: append(append(make([]byte, 12), 0x81, 0, 0, 1, 0x86, 0xdd), ipv6(nil, whole, protocolUDP)...)}))
	var ng bytes.Buffer
	w, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeRaw)
	if err != nil {
		f.Fatal(err)
	}
	p := ipv4Fragment(1, 0, false, whole)
	_ = w.WritePacket(gopacket.CaptureInfo{CaptureLength: len(p), Length: len(p)}, p)
	_ = w.Flush()
	f.Add(ng.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		_, s, sum, _ := replay(t, ReplayOptions{Reader: bytes.NewReader(file)})
		if uint64(s.rows()) != sum.Flows {
			t.Fatalf("%d rows, %d flows", s.rows(), sum.Flows)
		}
		if sum.Undecodable["panic"] != 0 {
			t.Fatal("a decoder panicked")
		}
	})
}

func FuzzPacket(f *testing.F) {
	whole := udpOf(v5(0, 2))
	f.Add(uint16(101), ipv4Fragment(1, 0, true, whole[:40]), ipv4Fragment(1, 40, false, whole[40:]))
	f.Add(uint16(1), append(append(make([]byte, 12), 0x81, 0, 0, 1, 0x86, 0xdd), ipv6(nil, whole, protocolUDP)...), []byte{})
	f.Add(uint16(229), ipv6([]byte{protocolUDP, 0, 0, 1, 0, 0, 0, 9}, whole[:40], 44), ipv6([]byte{protocolUDP, 0, 0, 40, 0, 0, 0, 9}, whole[40:], 44))
	f.Fuzz(func(t *testing.T, link uint16, a, b []byte) {
		var p packetReader
		for range 2 {
			for _, packet := range [][]byte{a, b} {
				if d, ok := p.datagram(layers.LinkType(link), packet); ok && len(d.payload) > maxDatagram && len(d.payload) > len(packet) {
					t.Fatalf("payload of %d octets from packets of %d and %d", len(d.payload), len(a), len(b))
				}
			}
		}
		if len(p.fragments.parts) != len(p.fragments.order) || len(p.fragments.parts) > maxAssemblies {
			t.Fatalf("%d assemblies, %d in order", len(p.fragments.parts), len(p.fragments.order))
		}
	})
}
