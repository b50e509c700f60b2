package names

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

var (
	client = netip.MustParseAddr("::ffff:192.168.1.20").As16()
	server = netip.MustParseAddr("::ffff:192.168.1.1").As16()
)

const clientMAC, serverMAC = 0x0040_8c00_0001, 0x001c_7f53_d028

func packet(tcp bool, sport, dport uint16, payload []byte) *Packet {
	return &Packet{Src: client, Dst: server, SrcMAC: clientMAC, DstMAC: serverMAC, TCP: tcp, SrcPort: sport, DstPort: dport, Payload: payload}
}

// say writes observations as people would read them.
func say(p *Packet) (out []string) {
	list, _, _ := Read(nil, p)
	for _, o := range list {
		who := o.Addr.Unmap().String()
		if o.MAC != 0 {
			who = fmt.Sprintf("%012x", o.MAC)
		}
		out = append(out, fmt.Sprintf("%s %s %s %s", who, o.Kind, o.Source, o.Value))
	}
	return out
}

func want(t *testing.T, p *Packet, want ...string) {
	t.Helper()
	if got := say(p); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func dnsMessage(t testing.TB, h dnsmessage.Header, questions []string, answers ...dnsmessage.Resource) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: h, Answers: answers}
	for _, q := range questions {
		m.Questions = append(m.Questions, dnsmessage.Question{Name: dnsmessage.MustNewName(q), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET})
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func record(name string, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET}, Body: body}
}

func TestRead_DNS(t *testing.T) {
	query := dnsMessage(t, dnsmessage.Header{}, []string{"Cloud.Example.ORG."})
	want(t, packet(false, 40000, 53, query), "00408c000001 domain dns cloud.example.org")

	reply := dnsMessage(t, dnsmessage.Header{Response: true}, []string{"cloud.example.org."},
		record("cloud.example.org.", &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName("lb.cdn.net.")}),
		record("lb.cdn.net.", &dnsmessage.AResource{A: [4]byte{198, 51, 100, 7}}),
		record("lb.cdn.net.", &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::7").As16()}))
	p := packet(false, 53, 40000, reply)
	want(t, p, "001c7f53d028 domain dns cloud.example.org", "198.51.100.7 address dns cloud.example.org", "2001:db8::7 address dns cloud.example.org")

	p.Payload = reply[:len(reply)-10] // as a sample cuts it: in the second address
	want(t, p, "001c7f53d028 domain dns cloud.example.org", "198.51.100.7 address dns cloud.example.org")

	for _, name := range []string{"4.3.2.1.in-addr.arpa.", "printer.local.", "localhost.", "a b.org."} {
		want(t, packet(false, 40000, 53, dnsMessage(t, dnsmessage.Header{}, []string{name})))
	}
	want(t, packet(false, 53, 40000, dnsMessage(t, dnsmessage.Header{Response: true, RCode: dnsmessage.RCodeNameError}, []string{"no.example.org."})))
}

// TestRead_DNSMadeToHurt: loops, counts beyond the message, names without end.
func TestRead_DNSMadeToHurt(t *testing.T) {
	header := func(questions, answers uint16) []byte {
		b := make([]byte, 12)
		b[2] = 0x80
		binary.BigEndian.PutUint16(b[4:], questions)
		binary.BigEndian.PutUint16(b[6:], answers)
		return b
	}
	tests := map[string][]byte{
		"pointer to itself":       append(header(1, 0), 0xc0, 12, 0, 1, 0, 1),
		"two that point in turn":  append(header(1, 0), 0xc0, 14, 0xc0, 12, 0, 1, 0, 1),
		"pointer forward":         append(header(1, 0), 0xc0, 200, 0, 1, 0, 1),
		"65,535 of everything":    header(65535, 65535),
		"65,535 pointers":         append(header(65535, 65535), []byte(strings.Repeat("\xc0\x0c\x00\x01\x00\x01", 200))...),
		"reserved label type":     append(header(1, 0), 0x80, 1, 2, 3),
		"label longer than there": append(header(1, 0), 63, 'a'),
		"nothing":                 {},
	}
	for name, payload := range tests {
		t.Run(name, func(t *testing.T) {
			list, protocol, malformed := Read(nil, packet(false, 53, 40000, payload))
			if len(list) != 0 || protocol != DNS {
				t.Errorf("got %v of %q", list, protocol)
			}
			if !malformed {
				t.Error("is not counted as malformed")
			}
		})
	}
}

func TestRead_OnePacketSaysOnlySoMuch(t *testing.T) {
	var answers []dnsmessage.Resource
	for i := range 60 {
		answers = append(answers, record("x.example.org.", &dnsmessage.AResource{A: [4]byte{198, 51, 100, byte(i)}}))
	}
	list, _, _ := Read(nil, packet(false, 53, 40000, dnsMessage(t, dnsmessage.Header{Response: true}, []string{"x.example.org."}, answers...)))
	if len(list) != maxObservations {
		t.Errorf("got %d observations, want %d", len(list), maxObservations)
	}
}

func TestRead_MulticastDNS(t *testing.T) {
	want(t, packet(false, 5353, 5353, dnsMessage(t, dnsmessage.Header{}, []string{"_googlecast._tcp.local.", "_hue._tcp.local."})),
		"00408c000001 discovery mdns _googlecast._tcp", "00408c000001 discovery mdns _hue._tcp")
	want(t, packet(false, 5353, 5353, dnsMessage(t, dnsmessage.Header{Response: true}, nil,
		record("_services._dns-sd._udp.local.", &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("_ipp._tcp.local.")}),
		record("Laser._ipp._tcp.local.", &dnsmessage.TXTResource{TXT: []string{"a=b"}}),
		record("laser-3.local.", &dnsmessage.AResource{A: [4]byte{192, 168, 1, 20}}))),
		"00408c000001 discovery mdns _ipp._tcp", "00408c000001 discovery mdns _ipp._tcp", "00408c000001 hostname mdns laser-3")
}

func TestRead_NamesOfWindows(t *testing.T) {
	coded := func(name string, suffix byte) string {
		var b strings.Builder
		for _, c := range []byte(fmt.Sprintf("%-15s%c", name, suffix)) {
			b.WriteByte('A' + c>>4)
			b.WriteByte('A' + c&15)
		}
		return b.String()
	}
	register := dnsMessage(t, dnsmessage.Header{OpCode: 5}, []string{coded("DESKTOP-1", 0) + "."})
	want(t, packet(false, 137, 137, register), "00408c000001 hostname netbios desktop-1")
	want(t, packet(false, 137, 137, dnsMessage(t, dnsmessage.Header{OpCode: 5}, []string{coded("WORKGROUP", 0x1e) + "."})))
	want(t, packet(false, 137, 137, dnsMessage(t, dnsmessage.Header{}, []string{coded("OTHER", 0) + "."})))
	want(t, packet(false, 5355, 50000, dnsMessage(t, dnsmessage.Header{Response: true}, []string{"desktop-1."})), "00408c000001 hostname llmnr desktop-1")
}

// hello is a ClientHello with a server name behind another extension.
func hello(name string) []byte {
	ext := []byte{0, 10, 0, 2, 0, 0}
	sni := append([]byte{0, 0, 0, byte(len(name) + 5), 0, byte(len(name) + 3), 0, 0, byte(len(name))}, name...)
	ext = append(ext, sni...)
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0, 0, 2, 0x13, 0x01, 1, 0)
	body = append(append(body, 0, byte(len(ext))), ext...)
	hs := append([]byte{1, 0, 0, byte(len(body))}, body...)
	return append([]byte{22, 3, 1, 0, byte(len(hs))}, hs...)
}

func TestRead_ServerNameOfTLS(t *testing.T) {
	whole := hello("cloud.example.org")
	want(t, packet(true, 40000, 443, whole), "00408c000001 domain tls cloud.example.org", "192.168.1.1 address tls cloud.example.org")
	want(t, packet(true, 40000, 443, hello("Cloud.Example.ORG")), "00408c000001 domain tls cloud.example.org", "192.168.1.1 address tls cloud.example.org")
	for n := range len(whole) { // a fragment never says half a name
		want(t, packet(true, 40000, 443, whole[:n]))
	}
	want(t, packet(true, 40000, 443, hello("evil\x1b[2J.org")))
	want(t, packet(true, 40000, 443, []byte{23, 3, 3, 0, 5, 1, 2, 3, 4, 5}))
}

func TestRead_HTTPAndSSDP(t *testing.T) {
	want(t, packet(true, 40000, 80, []byte("GET / HTTP/1.1\r\nHost: Cloud.Example.org:80\r\n\r\n")), "00408c000001 domain http cloud.example.org", "192.168.1.1 address http cloud.example.org")
	want(t, packet(true, 40000, 80, []byte("GET / HTTP/1.1\r\nHost: cloud.exam")))
	want(t, packet(true, 40000, 80, []byte("GET / HTTP/1.1\r\nHost: 192.168.1.1\r\n\r\n")))
	want(t, packet(true, 80, 40000, []byte("HTTP/1.1 200 OK\r\nServer: Hikvision-Webs\r\n")), "00408c000001 vendor_info http hikvision-webs")
	want(t, packet(false, 1900, 1900, []byte("NOTIFY * HTTP/1.1\r\nNT: roku:ecp\r\nSERVER: Roku UPnP/1.0\r\n\r\n")), "00408c000001 discovery ssdp roku:ecp", "00408c000001 vendor_info ssdp roku upnp/1.0")
	want(t, packet(false, 50000, 1900, []byte("M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n")))
}

func dhcpRequest(options ...byte) []byte {
	b := make([]byte, 240)
	b[0], b[1], b[2] = 1, 1, 6
	copy(b[28:], []byte{0x00, 0x40, 0x8c, 0, 0, 1})
	copy(b[236:], []byte{0x63, 0x82, 0x53, 0x63})
	return append(b, options...)
}

func TestRead_DHCP(t *testing.T) {
	request := dhcpRequest(53, 1, 1, 0, 12, 4, 'c', 'a', 'm', '1', 60, 5, 'u', 'd', 'h', 'c', 'p', 55, 3, 1, 3, 6, 255, 12, 1, 'x')
	p := packet(false, 68, 67, request)
	p.SrcMAC = 0 // the client's own field says who it is
	want(t, p, "00408c000001 hostname dhcp cam1", "00408c000001 vendor_info dhcp udhcp", "00408c000001 dhcp_options dhcp 1,3,6")
	p.Payload = request[:86] // what 128 octets show
	want(t, p)
	p.Payload = dhcpRequest(12, 200, 'c')
	want(t, p)
	if _, _, malformed := Read(nil, packet(false, 68, 67, append([]byte{9}, request[1:]...))); !malformed {
		t.Error("an unknown operation is not counted as malformed")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(uint16(40000), uint16(443), true, hello("cloud.example.org"))
	f.Add(uint16(53), uint16(40000), false, dnsMessage(f, dnsmessage.Header{Response: true}, []string{"x.org."}, record("x.org.", &dnsmessage.AResource{A: [4]byte{1, 2, 3, 4}})))
	f.Add(uint16(53), uint16(40000), false, []byte("\x00\x00\x80\x00\xff\xff\xff\xff\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Add(uint16(5353), uint16(5353), false, dnsMessage(f, dnsmessage.Header{}, []string{"_hue._tcp.local."}))
	f.Add(uint16(68), uint16(67), false, dhcpRequest(12, 1, 'x', 255))
	f.Add(uint16(1900), uint16(1900), false, []byte("NOTIFY * HTTP/1.1\r\nNT: roku:ecp\r\n\r\n"))
	f.Add(uint16(40000), uint16(80), true, []byte("GET / HTTP/1.1\r\nHost: a.org\r\n\r\n"))
	f.Add(uint16(137), uint16(137), false, dnsMessage(f, dnsmessage.Header{OpCode: 5}, []string{"ABABABABABABABABABABABABABABABAA."}))
	f.Fuzz(func(t *testing.T, sport, dport uint16, tcp bool, payload []byte) {
		list, _, _ := Read(nil, packet(tcp, sport, dport, payload))
		if len(list) > maxObservations {
			t.Fatalf("%d observations of one packet", len(list))
		}
		for _, o := range list {
			if o.Value == "" || len(o.Value) > maxValue || !printable(o.Value) {
				t.Fatalf("observed %+q", o.Value)
			}
		}
	})
}
