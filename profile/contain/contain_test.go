package contain

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	made  = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	cloud = netip.MustParsePrefix("203.0.113.0/24")
	ntp   = netip.MustParsePrefix("198.51.100.0/24")
)

func camera() Plan {
	return Plan{
		Name: "tidemark-0123456789abcdef", Device: "camera \"lobby\"\n*/ drop", Why: "started telnet; */\nrm -rf",
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("2001:db8::7")},
		Rules: []Rule{
			{Proto: 6, Port: 23},
			{Peer: cloud, Proto: 17, Port: 4444},
			{Server: true, Peer: netip.MustParsePrefix("10.2.0.9/32"), Proto: 6, Port: 22},
			{Peer: netip.MustParsePrefix("2001:db8:1::/48")},
			{Proto: 58},
		},
		Lasts: 24 * time.Hour, From: made,
	}
}

func edges() []Edge {
	return []Edge{
		{Peer: netip.MustParseAddr("203.0.113.9"), Network: cloud, Title: "cloud", Proto: 6, Port: 443, Flows: 4000, Days: 14, Sure: 100},
		{Peer: netip.MustParseAddr("198.51.100.1"), Network: ntp, Title: "ntp", Proto: 17, Port: 123, Flows: 500, Days: 14, Sure: 90},
		{Server: true, Peer: netip.MustParseAddr("10.0.0.2"), Title: "nvr", Proto: 6, Port: 554, Flows: 300, Days: 14, Sure: 95},
		{Peer: netip.MustParseAddr("10.0.0.1"), Title: "gateway", Proto: 6, Port: 23, Flows: 20, Days: 1, Sure: 95},
		{Peer: netip.MustParseAddr("2001:db8:1::1"), Network: netip.MustParsePrefix("2001:db8:1::/48"), Title: "update", Proto: 6, Port: 443, Flows: 10, Days: 4, Sure: 95},
		{Peer: netip.MustParseAddr("10.0.0.50"), Title: "unknown", Proto: 17, Port: 5000, Flows: 10, Days: 5, Sure: 40},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestWrite_Golden(t *testing.T) {
	p := camera()
	for _, d := range Dialects() {
		text, err := p.Write(d)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, d+".golden", text)
	}
}

// TestWrite_NoTextLeavesItsComment gives a device a name that tries to.
func TestWrite_NoTextLeavesItsComment(t *testing.T) {
	p := camera()
	for _, d := range Dialects() {
		text, err := p.Write(d)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, "rm -rf") && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "!") {
				t.Errorf("%s: the reason is a line of its own: %q", d, line)
			}
		}
	}
}

func TestWrite_UnknownDialectAndNoAddress(t *testing.T) {
	p := camera()
	if _, err := p.Write("pf"); err == nil || !strings.Contains(err.Error(), "nftables") {
		t.Errorf("got %v, want the dialects that exist", err)
	}
	p.Addresses = nil
	if _, err := p.Write("nftables"); err == nil {
		t.Error("a plan without an address was written")
	}
}

// TestNFTables_TheKernelTakesTheRules has the real nft load them in a network
// namespace of its own.
func TestNFTables_TheKernelTakesTheRules(t *testing.T) {
	for _, tool := range []string{"nft", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	p := camera()
	text, err := p.Write("nftables")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--net", "--map-root-user", "sh", "-c", "nft -f - && nft list ruleset && nft delete table inet "+p.Name+" && nft list ruleset")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if err != nil {
		if bytes.Contains(out, []byte("unshare failed")) {
			t.Skipf("no network namespaces here: %s", out)
		}
		t.Fatalf("%v: %s\n%s", err, out, text)
	}
	for _, want := range []string{"ip saddr 10.0.0.7 tcp dport 23", "ip6 saddr 2001:db8::7 tcp dport 23", "ip daddr 203.0.113.0/24 udp dport 4444", "ip saddr 10.2.0.9 ip daddr 10.0.0.7 tcp dport 22", "ip6 daddr 2001:db8:1::/48"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the kernel has no rule %q:\n%s", want, out)
		}
	}
}

func TestTry_SaysWhatWouldHaveBeenCut(t *testing.T) {
	p := camera()
	got := p.Try(edges())
	var cut []string
	for _, h := range got.Cut {
		cut = append(cut, h.Title)
	}
	if got.Flows != 4840 || got.Dropped != 30 || strings.Join(cut, " ") != "gateway update" {
		t.Errorf("got %d of %d flows, %v: want 30 of 4840: gateway and update", got.Dropped, got.Flows, cut)
	}
	all := Plan{Rules: []Rule{{}, {Server: true}}}
	if got := all.Try(edges()); got.Dropped != got.Flows || len(got.Cut) != len(edges()) || got.Cut[0].Title != "cloud" {
		t.Errorf("got %+v, want everything cut, most flows first", got)
	}
}

// mudFile is RFC 8520 section 2 and RFC 8519 section 4, as far as we write it.
type mudFile struct {
	Mud struct {
		Version  int            `json:"mud-version"`
		URL      string         `json:"mud-url"`
		Update   time.Time      `json:"last-update"`
		Validity int            `json:"cache-validity"`
		Support  bool           `json:"is-supported"`
		Info     string         `json:"systeminfo"`
		From     mudAccessLists `json:"from-device-policy"`
		To       mudAccessLists `json:"to-device-policy"`
	} `json:"ietf-mud:mud"`
	ACLs struct {
		ACL []struct {
			Name, Type string
			ACEs       struct {
				ACE []struct {
					Name    string
					Matches struct {
						Mud *struct {
							Local []any `json:"local-networks"`
						} `json:"ietf-mud:mud"`
						IPv4, IPv6 *struct {
							Protocol uint8
							DestV4   string `json:"destination-ipv4-network"`
							SrcV4    string `json:"source-ipv4-network"`
							DestV6   string `json:"destination-ipv6-network"`
							SrcV6    string `json:"source-ipv6-network"`
						}
						TCP, UDP *struct {
							Initiated string   `json:"ietf-mud:direction-initiated"`
							Source    *mudPort `json:"source-port"`
							Dest      *mudPort `json:"destination-port"`
						}
					}
					Actions struct{ Forwarding string }
				}
			}
		}
	} `json:"ietf-access-control-list:acls"`
}

type mudAccessLists struct {
	Lists struct {
		List []struct{ Name string } `json:"access-list"`
	} `json:"access-lists"`
}

type mudPort struct {
	Operator string
	Port     uint16
}

func TestMUD_AllowsWhatIsNormalAndNothingElse(t *testing.T) {
	text, left, err := MUD(MUDOptions{
		URL: "https://tidemark.example.org/camera.json", Info: "camera-lobby", Made: made,
		Local: func(a netip.Addr) bool { return a.IsPrivate() },
	}, edges())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "mud.golden", string(text))
	var m mudFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, l := range append(m.Mud.From.Lists.List, m.Mud.To.Lists.List...) {
		named[l.Name] = true
	}
	aces := map[string]bool{}
	entries := 0
	for _, acl := range m.ACLs.ACL {
		if !named[acl.Name] || acl.Type != acl.Name[strings.Index(acl.Name, "-")+1:]+"-acl-type" {
			t.Errorf("list %s of type %s is named by no policy", acl.Name, acl.Type)
		}
		delete(named, acl.Name)
		for _, e := range acl.ACEs.ACE {
			entries++
			if aces[e.Name] || e.Actions.Forwarding != "accept" {
				t.Errorf("entry %s is there twice or does not accept", e.Name)
			}
			aces[e.Name] = true
			from := strings.HasPrefix(acl.Name, "from")
			if ports := e.Matches.TCP; ports != nil && (ports.Dest != nil) == (ports.Initiated == "from-device") != from {
				t.Errorf("entry %s: the port is on the wrong side", e.Name)
			}
		}
	}
	if len(named) > 0 || entries != 8 {
		t.Errorf("got %d entries, want two for each of 4 edges; lists without a body: %v", entries, named)
	}
	if len(left) != 2 || left[0].Title != "gateway" || left[1].Title != "unknown" {
		t.Errorf("left out: %+v, want the new one and the one nobody knows who began", left)
	}
	if _, _, err := MUD(MUDOptions{}, edges()[3:4]); err == nil {
		t.Error("a file that allows nothing was written")
	}
}
