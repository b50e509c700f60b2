package source

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, kind Kind, text string) (out []string, r Reading) {
	t.Helper()
	r, err := Parse(kind, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	show := func(ns int64) string {
		if ns == 0 {
			return "-"
		}
		return time.Unix(0, ns).UTC().Format("15:04")
	}
	for _, i := range r.Bindings {
		out = append(out, fmt.Sprintf("%s %012x %s %s %s", i.Addr, i.MAC, show(i.From), show(i.To), i.Name))
	}
	return out, r
}

func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParse_LeasesAndNeighbours(t *testing.T) {
	tests := []struct {
		kind  Kind
		text  string
		want  []string
		lines []int // of the faults
	}{
		{Dnsmasq, file(t, "dnsmasq.leases"), []string{
			"10.0.0.2 00408c000001 - 08:26 camera-lobby", "10.0.0.3 240ac4000002 - - ", "10.0.0.4 daa119112233 - 08:26 Pixel-8",
			"2001:db8::2 00408c000001 - 08:26 camera-lobby", "10.0.0.5 00408c000005 - 08:26 half-writ",
		}, []int{6, 7}},
		{ISC, file(t, "dhcpd.leases"), []string{
			"10.0.0.2 00408c000001 08:00 20:00 camera {lobby}", "10.0.0.2 00408c000001 08:00 10:00 ", "10.0.0.2 240ac4000002 11:00 - ",
		}, []int{32, 35, 40}},
		{Kea, file(t, "kea-leases4.csv"), []string{
			"10.0.0.2 00408c000001 09:53 11:00 camera.example.org", "10.0.0.3 240ac4000002 09:53 11:00 a&#x2cb",
		}, []int{6, 7, 8}},
		{Kea, "10.0.0.2,00:40:8c:00:00:01,,4000,1795345200\n", nil, []int{1}},
		{Kea, "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state\n" +
			"2001:db8::2,00:03:00:01:00:40:8c:00:00:01,4000,1795345200,1,3000,0,1,128,0,0,cam,,0\n" +
			"2001:db8:1::,00:03:00:01:00:40:8c:00:00:01,4000,1795345200,1,3000,2,1,56,0,0,cam,,0\n",
			[]string{"2001:db8::2 00408c000001 09:53 11:00 cam"}, nil},
		{IPNeigh, "10.0.0.2 dev eth0 lladdr 00:40:8c:00:00:01 REACHABLE\nfe80::1 dev eth0 lladdr 24:0a:c4:00:00:02 router STALE\n10.0.0.9 dev eth0  FAILED\n10.0.0.8 dev eth0 INCOMPLETE\nrubbish\n",
			[]string{"10.0.0.2 00408c000001 - - ", "fe80::1 240ac4000002 - - "}, []int{5}},
		{ARP, "? (10.0.0.2) at 00:40:8c:00:00:01 [ether] on eth0\n? (10.0.0.3) at <incomplete> on eth0\nhost.lan (10.0.0.4) at 0:40:8c:0:0:4 on en0 ifscope [ethernet]\n? (10.0.0.5) at ff:ff:ff:ff:ff:ff on en0\n",
			[]string{"10.0.0.2 00408c000001 - - ", "10.0.0.4 00408c000004 - - "}, []int{4}},
		{ARP, "IP address       HW type     Flags       HW address            Mask     Device\n10.0.0.2         0x1         0x2         00:40:8c:00:00:01     *        eth0\n10.0.0.3         0x1         0x0         00:00:00:00:00:00     *        eth0\n",
			[]string{"10.0.0.2 00408c000001 - - "}, nil},
		{Dnsmasq, "a\x00b\n" + strings.Repeat("x", maxLine+1) + "\n", nil, []int{1, 2}},
	}
	for _, tt := range tests {
		got, r := read(t, tt.kind, tt.text)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.kind, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
		var at []int
		for _, f := range r.Faults {
			at = append(at, f.Line)
		}
		if !slices.Equal(at, tt.lines) || r.Bad != len(tt.lines) {
			t.Errorf("%s: faults %v (%d), want lines %v", tt.kind, r.Faults, r.Bad, tt.lines)
		}
	}
}

// A file is read while its server writes it: whatever was whole before is found.
func TestParse_EveryPrefixGivesAPrefix(t *testing.T) {
	for kind, name := range map[Kind]string{Dnsmasq: "dnsmasq.leases", ISC: "dhcpd.leases", Kea: "kea-leases4.csv"} {
		text := file(t, name)
		whole, all := read(t, kind, text)
		for n := range len(text) {
			got, r := read(t, kind, text[:n])
			if len(got) > len(whole) || !slices.Equal(got, whole[:len(got)]) || r.Bad > all.Bad {
				t.Fatalf("%s: the first %d octets give\n%s\nfaults %v", kind, n, strings.Join(got, "\n"), r.Faults)
			}
		}
	}
}

// dhcpd died while it wrote a lease, and went on behind it when it came back.
func TestParse_ALeaseThatIsNeverEndedHidesNoOther(t *testing.T) {
	const cut, rubbish = "lease 10.0.0.2 {\n  starts 0 2025/11/22 08:00:00;\n  hardware ethernet 00:40:8c:00:00:02;\n", "x {\n"
	const whole = "lease 10.0.0.3 {\n  hardware ethernet 00:40:8c:00:00:03;\n}\nlease 10.0.0.4 {\n  hardware ethernet 00:40:8c:00:00:04;\n}\n"
	want := []string{"10.0.0.3 00408c000003 - - ", "10.0.0.4 00408c000004 - - "}
	got, r := read(t, ISC, cut+whole)
	if !slices.Equal(got, want) || len(r.Faults) != 1 || r.Faults[0].Line != 1 {
		t.Errorf("behind a lease that was cut: got %q, faults %v, want %q and the first line as a fault", got, r.Faults, want)
	}
	if got, _ := read(t, ISC, rubbish+whole); !slices.Equal(got, want) {
		t.Errorf("behind a block that has no end: got %q, want %q", got, want)
	}
}

func TestParse_FaultsAreCountedAndBounded(t *testing.T) {
	_, r := read(t, Dnsmasq, strings.Repeat("bad\n", 100000))
	if r.Bad != 100000 || len(r.Faults) != maxFaults {
		t.Fatalf("%d faults, %d named, want 100000 and %d", r.Bad, len(r.Faults), maxFaults)
	}
}

func FuzzParse(f *testing.F) {
	for kind, name := range map[Kind]string{Dnsmasq: "dnsmasq.leases", ISC: "dhcpd.leases", Kea: "kea-leases4.csv"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(kind), text)
	}
	f.Add(string(IPNeigh), []byte("10.0.0.2 dev eth0 lladdr 00:40:8c:00:00:01 REACHABLE\n"))
	f.Add(string(ARP), []byte("? (10.0.0.2) at 00:40:8c:00:00:01 [ether] on eth0\n"))
	f.Fuzz(func(t *testing.T, kind string, text []byte) {
		r, err := Parse(Kind(kind), text)
		if err != nil {
			return
		}
		if len(r.Faults) > maxFaults || len(r.Faults) > r.Bad {
			t.Fatalf("%d faults named of %d", len(r.Faults), r.Bad)
		}
		for _, i := range r.Bindings {
			if i.MAC == 0 || i.MAC>>48 != 0 || i.MAC>>40&1 == 1 || !i.Addr.IsValid() || i.Addr.Zone() != "" || i.From < 0 || i.To != 0 && i.To <= i.From || len(i.Name) > maxName {
				t.Fatalf("%s gave %+v", kind, i)
			}
		}
	})
}
