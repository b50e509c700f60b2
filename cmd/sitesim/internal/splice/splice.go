// Package splice grafts real attack captures onto real devices with a benign history of their own,
// and exports both as flows of one router.
//
// The attacks were captured for seconds on hosts nobody knows a baseline of; here the attacker, or
// the victim, becomes a device that was watched for seven days before.
package splice

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tidemark/cmd/sitesim/internal/packet"
)

// A Host is a device with a capture of its ordinary days.
type Host struct {
	Name, File string
	Addr       netip.Addr
	MAC        packet.MAC // found in the capture
	Gateway    packet.MAC // likewise
}

// Hosts are the five home devices of the labelled captures, each with about seven days.
func Hosts() []Host {
	host := func(name string, addr string) Host {
		return Host{Name: name, File: "iot/fit-labelled/" + name + ".pcap", Addr: netip.MustParseAddr(addr)}
	}
	return []Host{host("blink-cam-01", "192.168.1.129"), host("blink-cam-03", "192.168.1.126"), host("schlage-lock-01", "192.168.1.122"), host("sifely-hub-01", "192.168.1.127"), host("ultraloq-hub-01", "192.168.1.125")}
}

// A Graft says how an attack capture is put onto a device.
type Graft struct {
	Name, File string
	Actor      string            // address that becomes the device; "" = every source address does
	Spoofed    bool              // addresses stay as they are, only the card that sends is the device's
	ServerPort uint16            // both ends have the actor's address: the device is the one with this port
	Move       map[string]string // other addresses that become others
	Times      int               // the capture is repeated so often
	Every      time.Duration
	Families   []string // of alerts that name it rightly
}

// outside stands for victims whose captured address is private.
const outside = "203.0.113.7"

// Grafts are the attack captures there are, and what they become.
func Grafts() []Graft {
	moved := map[string]string{"10.10.10.10": outside, "10.10.10.1": outside, "10.128.0.2": outside}
	flood, novel, served := []string{"flood", "reflection", "ddos"}, []string{"new_destination", "beacon", "threat_intel"}, []string{"access", "new_service", "brute_force", "failed_access"}
	return []Graft{
		{Name: "port scan", File: "iot/ndpi/synscan.pcap", Actor: "172.16.0.8", Families: []string{"scan"}},
		{Name: "ICMP sweep", File: "iot/slips/test12-icmp-portscan.pcap", Actor: "192.168.1.109", Families: []string{"scan"}},
		{Name: "SYN flood", File: "iot/safeguards/flooding__SYN.pcap", Actor: "10.0.0.2", Move: moved, Times: 5, Every: 15 * time.Second, Families: flood},
		{Name: "DNS flood", File: "iot/safeguards/flooding__dns.pcap", Actor: "207.86.6.174", Times: 5, Every: 25 * time.Second, Families: flood},
		{Name: "SYN flood, spoofed sources", File: "iot/stopddos/pkt.TCP.synflood.spoofed.pcap", Spoofed: true, Move: moved, Families: append(flood, "spoof")},
		{Name: "reflection, BACnet device", File: "iot/stopddos/amp.UDP.bacnet.IOT.37810.pcapng", Move: moved, Times: 20, Every: 3 * time.Second, Families: flood},
		{Name: "reflection, ISAKMP", File: "iot/stopddos/amp.UDP.isakmp.pcap", Move: moved, Times: 20, Every: 3 * time.Second, Families: flood},
		{Name: "reflection, SYN-ACK", File: "iot/stopddos/amp.TCP.reflection.SYNACK.pcap", Move: moved, Times: 20, Every: 3 * time.Second, Families: flood},
		{Name: "beacon of 2 s", File: "iot/slips/test-cc__test-cc-capture-1.pcap", Actor: "147.32.80.37", Families: novel},
		{Name: "DNS exfiltration", File: "iot/ndpi/dns_exfiltration.pcap", Actor: "192.168.220.56", Move: map[string]string{"192.168.203.167": "192.168.1.1"}, Families: []string{"exfiltration", "dns_tunnel", "volume"}},
		{Name: "mining pool", File: "iot/ndpi/mining.pcapng", Actor: "192.168.2.148", Families: append(novel, "new_service")},
		{Name: "Emotet download", File: "iot/ndpi/emotet.pcap", Actor: "10.3.29.101", Families: novel},
		{Name: "SSH logins", File: "iot/slips/test7-malicious.pcap", Actor: "192.168.2.16", Move: map[string]string{"192.168.2.1": "192.168.1.66"}, Families: served},
		{Name: "web attack", File: "iot/ndpi/WebattackRCE.pcap", Actor: "127.0.0.1", ServerPort: 8080, Move: map[string]string{"127.0.0.1": "192.168.1.66"}, Families: served},
		{Name: "telnet login", File: "iot/ndpi/telnet.pcap", Actor: "192.168.0.1", Move: map[string]string{"192.168.0.2": "192.168.1.66"}, Families: served},
		{Name: "web bot from outside", File: "iot/ndpi/bot.pcap", Actor: "89.31.72.220", Families: served},
	}
}

// The lab the hosts lived in, and its router.
var (
	gateway = netip.MustParseAddr("192.168.1.1")
	home    = netip.MustParsePrefix(Home)
)

// Home is the network of the hosts.
const Home = "192.168.1.0/24"

// Read reads the IPv4 packets of a capture as trains of one.
func Read(path string) (list []packet.Train, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read capture: %w", err)
	}
	defer f.Close()
	next, link, err := open(f)
	if err != nil {
		return nil, fmt.Errorf("read capture %s: %w", path, err)
	}
	for {
		b, info, err := next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read capture %s: %w", path, err)
		}
		if t, ok := train(gopacket.NewPacket(b, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})); ok {
			t.At = info.Timestamp.UnixNano()
			list = append(list, t)
		}
	}
}

func open(f *os.File) (func() ([]byte, gopacket.CaptureInfo, error), layers.LinkType, error) {
	if r, err := pcapgo.NewReader(f); err == nil {
		return r.ReadPacketData, r.LinkType(), nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, 0, err
	}
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		return nil, 0, err
	}
	return r.ReadPacketData, r.LinkType(), nil
}

// train is a packet as routers count it; IPv6 and what is not IP they leave out here.
func train(p gopacket.Packet) (t packet.Train, ok bool) {
	ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if ip == nil {
		return t, false
	}
	if eth, _ := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet); eth != nil {
		t.SrcMAC, t.DstMAC = packet.MAC(eth.SrcMAC), packet.MAC(eth.DstMAC)
	}
	t.Count, t.Size, t.Proto, t.TOS = 1, int(ip.Length), uint8(ip.Protocol), ip.TOS
	t.Src, _ = netip.AddrFromSlice(ip.SrcIP.To4())
	t.Dst, _ = netip.AddrFromSlice(ip.DstIP.To4())
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		t.SrcPort, t.DstPort = uint16(l.SrcPort), uint16(l.DstPort)
		for bit, set := range map[uint8]bool{packet.FIN: l.FIN, packet.SYN: l.SYN, packet.RST: l.RST, packet.PSH: l.PSH, packet.ACK: l.ACK} {
			if set {
				t.Flags |= bit
			}
		}
	case *layers.UDP:
		t.SrcPort, t.DstPort = uint16(l.SrcPort), uint16(l.DstPort)
	}
	if icmp, _ := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); icmp != nil {
		t.DstPort = uint16(icmp.TypeCode)
	}
	return t, true
}

// History reads the ordinary days of the hosts, and their cards.
func History(dir string, hosts []Host) (all []packet.Train, err error) {
	for i := range hosts {
		list, err := Read(filepath.Join(dir, filepath.FromSlash(hosts[i].File)))
		if err != nil {
			return nil, err
		}
		for k := range list {
			if list[k].Src == hosts[i].Addr {
				hosts[i].MAC = list[k].SrcMAC
			}
			if list[k].Src == gateway {
				hosts[i].Gateway = list[k].SrcMAC
			}
			place(&list[k])
		}
		shift(list, Epoch)
		all = append(all, list...)
	}
	slices.SortStableFunc(all, func(a, b packet.Train) int { return cmp.Compare(a.At, b.At) })
	return all, nil
}

// Epoch is when every history begins, so that they overlap.
var Epoch = time.Date(2026, 9, 7, 0, 0, 0, 0, time.UTC)

func shift(list []packet.Train, to time.Time) {
	if len(list) == 0 {
		return
	}
	by := to.UnixNano() - list[0].At
	for i := range list {
		list[i].At += by
	}
}

// place sets the interfaces the packet passes: 1 is the site's, 100 the Internet's.
func place(t *packet.Train) {
	t.In, t.Out = 100, 100
	if home.Contains(t.Src) || t.Src.IsUnspecified() {
		t.In = 1
	}
	if home.Contains(t.Dst) || t.Dst.IsMulticast() || t.Dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		t.Out = 1
	}
}

// Onto makes the capture an attack by, or on, the host, beginning at a time.
func (g Graft) Onto(dir string, h Host, at time.Time) ([]packet.Train, error) {
	list, err := Read(filepath.Join(dir, filepath.FromSlash(g.File)))
	if err != nil {
		return nil, err
	}
	if g.Actor != "" {
		actor := netip.MustParseAddr(g.Actor)
		list = slices.DeleteFunc(list, func(t packet.Train) bool { return t.Src != actor && t.Dst != actor })
	}
	for i := range list {
		g.rewrite(&list[i], h)
	}
	shift(list, at)
	var all []packet.Train
	for n := range max(1, g.Times) {
		for _, t := range list {
			t.At += int64(n) * int64(g.Every)
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("graft %s: nothing of %s is left", g.Name, g.File)
	}
	slices.SortStableFunc(all, func(a, b packet.Train) int { return cmp.Compare(a.At, b.At) })
	return all, nil
}

func (g Graft) rewrite(t *packet.Train, h Host) {
	from := g.Spoofed || g.Actor == "" || t.Src.String() == g.Actor
	if g.ServerPort != 0 {
		from = t.SrcPort == g.ServerPort
	}
	move := func(a netip.Addr) netip.Addr {
		if to, ok := g.Move[a.String()]; ok {
			return netip.MustParseAddr(to)
		}
		return a
	}
	if from {
		if !g.Spoofed {
			t.Src = h.Addr
		}
		t.Dst = move(t.Dst)
		t.SrcMAC, t.DstMAC = h.MAC, h.card(t.Dst)
	} else {
		t.Src, t.Dst = move(t.Src), h.Addr
		t.SrcMAC, t.DstMAC = h.card(t.Src), h.MAC
	}
	place(t)
	if g.Spoofed {
		t.In = 1
	}
}

// card is the one behind an address as the host sees it: the gateway's for all that is not in the house.
func (h Host) card(a netip.Addr) packet.MAC {
	if !home.Contains(a) || a == gateway {
		return h.Gateway
	}
	b := a.As4()
	return packet.MAC{0x02, 0x11, b[0], b[1], b[2], b[3]}
}
