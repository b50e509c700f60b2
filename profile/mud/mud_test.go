package mud

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// profile is a MUD file whose lists hold entries about packets from and to the device.
func profile(from, to string) string {
	return fmt.Sprintf(`{"ietf-mud:mud": {"mud-version": 1, "mud-url": "https://example.com/c", "from-device-policy": {"access-lists": {"access-list": [{"name": "f"}]}},
 "to-device-policy": {"access-lists": {"access-list": [{"name": "t"}]}}},
 "ietf-access-control-list:acls": {"acl": [{"name": "f", "aces": {"ace": [%s]}}, {"name": "t", "aces": {"ace": [%s]}}]}}`, from, to)
}

func ace(matches string) string {
	return `{"name": "e", "matches": {` + matches + `}, "actions": {"forwarding": "accept"}}`
}

func TestParse_ReducesEntries(t *testing.T) {
	v6 := func(s string) netip.Addr { return netip.AddrFrom16(netip.MustParseAddr(s).As16()) }
	tests := []struct {
		name, from, to string
		want           []Rule
	}{
		{"a cloud by name", ace(`"ipv4": {"protocol": 6, "ietf-acldns:dst-dnsname": "Cloud.Example.com."}, "tcp": {"destination-port": {"operator": "eq", "port": 443}, "ietf-mud:direction-initiated": "from-device"}`), "",
			[]Rule{{Role: "client", Proto: 6, PortLow: 443, PortHigh: 443, Peer: Name, Name: "cloud.example.com"}}},
		{"both directions are one", ace(`"ipv4": {"protocol": 17, "destination-ipv4-network": "192.0.2.0/24"}, "udp": {"destination-port": {"operator": "eq", "port": 53}}`),
			ace(`"ipv4": {"protocol": 17, "source-ipv4-network": "192.0.2.0/24"}, "udp": {"source-port": {"operator": "eq", "port": 53}}`),
			[]Rule{{Role: "client", Proto: 17, PortLow: 53, PortHigh: 53, Peer: Network, Low: v6("192.0.2.0"), High: v6("192.0.2.255")}}},
		{"a server for the site", "", ace(`"ietf-mud:mud": {"local-networks": [null]}, "ipv4": {"protocol": 6}, "tcp": {"destination-port": {"lower-port": 8000, "upper-port": 8080}}`),
			[]Rule{{Role: "server", Proto: 6, PortLow: 8000, PortHigh: 8080, Peer: Local}}},
		{"whoever begins, any service", ace(`"ietf-mud:mud": {"same-manufacturer": [null]}, "ipv6": {}`), "", []Rule{{Role: "any", PortHigh: 65535, Peer: SameManufacturer}}},
		{"all but one port", ace(`"tcp": {"destination-port": {"operator": "neq", "port": 23}}`), "",
			[]Rule{{Role: "client", Proto: 6, PortHigh: 22, Peer: Any}, {Role: "client", Proto: 6, PortLow: 24, PortHigh: 65535, Peer: Any}}},
		{"the resolver, whoever it is", ace(`"ietf-mud:mud": {"controller": "urn:ietf:params:mud:dns"}, "udp": {"destination-port": {"operator": "eq", "port": 53}}`), "",
			[]Rule{{Role: "client", Proto: 17, PortLow: 53, PortHigh: 53, Peer: Any}}},
		{"a controller nobody knows", ace(`"ietf-mud:mud": {"my-controller": [null]}, "tcp": {"destination-port": {"operator": "eq", "port": 8883}}`), "",
			[]Rule{{Role: "client", Proto: 6, PortLow: 8883, PortHigh: 8883, Peer: Unknown}}},
	}
	for _, tt := range tests {
		p, err := Parse([]byte(profile(tt.from, tt.to)))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if !slices.Equal(p.Rules, tt.want) {
			t.Errorf("%s: got rules %+v, want %+v", tt.name, p.Rules, tt.want)
		}
		if unsure := slices.ContainsFunc(tt.want, func(r Rule) bool { return r.Peer == Unknown || r.Peer == SameManufacturer }); err == nil && unsure != (len(p.Notes) > 0) {
			t.Errorf("%s: notes are %q", tt.name, p.Notes)
		}
	}
}

func TestParse_Faults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"<html>", "no JSON"},
		{`{"a": 1}`, "no MUD profile"},
		{profile("", ""), "permits nothing"},
		{strings.Replace(profile(ace(`"ipv4": {"protocol": 6}`), ""), `"name": "f", "aces"`, `"name": "x", "aces"`, 1), `access list "f" is named by the policy`},
		{profile(ace(`"ipv4": {"destination-ipv4-network": "everywhere"}`), ""), `entry "e" of list "f": got network "everywhere"`},
		{profile(ace(`"tcp": {"destination-port": {"operator": "about", "port": 5}}`), ""), "a port is neither"},
		{profile(ace(`"tcp": {"ietf-mud:direction-initiated": "sideways"}`), ""), `got direction-initiated "sideways"`},
	} {
		if _, err := Parse([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got error %v, want %q in it", err, tt.want)
		}
	}
}

// TestParse_RealFiles: profiles that tools made of captures of real devices.
func TestParse_RealFiles(t *testing.T) {
	dir := os.Getenv("TIDEMARK_CAPTURES")
	if dir == "" {
		dir = "../../../shared/captures"
	}
	files, err := filepath.Glob(filepath.Join(dir, "iot", "twente-*", "*.mud.json"))
	if err != nil || len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no MUD files in %s: %v", dir, err)
		}
		t.Skipf("no MUD files in %s", dir)
	}
	for _, f := range files {
		p, err := Read(f)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Logf("%s: %d rules, notes %q", filepath.Base(f), len(p.Rules), p.Notes)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(profile(ace(`"ipv6": {"destination-ipv6-network": "2001:db8::/32"}, "udp": {"destination-port": {"lower-port": 1}}`), "")))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err == nil && (len(p.Rules) == 0 || p.ID == 0) {
			t.Errorf("no fault and rules %v, id %d", p.Rules, p.ID)
		}
	})
}

// A policy that names one list ten thousand times, or lists without end, in a file
// within its bounds.
func TestParse_WhatIsNamedOftenIsReadOnce(t *testing.T) {
	const entries = `{"name": "e", "matches": {"tcp": {"destination-port": {"operator": "eq", "port": %d}}}, "actions": {"forwarding": "accept"}}`
	named := func(n int, name string) string {
		return strings.TrimSuffix(strings.Repeat(`{"name":"`+name+`"},`, n), ",")
	}
	text := func(names, acls string) []byte {
		return []byte(`{"ietf-mud:mud":{"mud-version":1,"from-device-policy":{"access-lists":{"access-list":[` + names + `]}}},"ietf-access-control-list:acls":{"acl":[` + acls + `]}}`)
	}
	one := `{"name":"f","aces":{"ace":[` + fmt.Sprintf(entries, 443) + `]}}`
	if p, err := Parse(text(named(40_000, "f"), one+strings.Repeat(",{}", 150_000))); err != nil || len(p.Rules) != 1 {
		t.Errorf("one list named 40,000 times: %v, want its one rule", err)
	}
	var missing []string
	for i := range 1000 {
		missing = append(missing, named(1, fmt.Sprint("x", i)))
	}
	if _, err := Parse(text(strings.Join(missing, ","), one)); err == nil || strings.Count(err.Error(), "\n") > maxFault {
		t.Errorf("1,000 lists that are not there: got %.200q, want the first %d of them", err, maxFault)
	}
	var many []string
	for port := range 6000 {
		many = append(many, fmt.Sprintf(entries, port))
	}
	if p, err := Parse(text(named(1, "f"), `{"name":"f","aces":{"ace":[`+strings.Join(many, ",")+`]}}`)); err == nil || len(p.Rules) > maxRules+2 {
		t.Errorf("6,000 entries: got %v and %d rules, want a refusal before %d", err, len(p.Rules), maxRules+2)
	}
}
