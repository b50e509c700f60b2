package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/enrich/source/sourcetest"
)

// sourceStatus is a line of `devices sources`.
type sourceStatus struct {
	Source, Format, Error string
	Bindings, Bad         int
	Faults                []string
}

// Every kind of source works through the daemon while it runs: an empty lease file
// that is written to, an address that changes hands in it, neighbours, an inventory
// that nmap made, and a router asked by SNMP, whose bridge table says
// where a station is attached. What they said at the time of the
// flows tells two devices of one address apart.
func TestSources_EveryOneIsFollowedByTheDaemon(t *testing.T) {
	t.Parallel()
	const first, second, address = "f4:b8:5e:00:00:26", "f4:b8:5e:00:00:99", "192.168.1.126"
	capture := filepath.Join(captures(t), "iot", "generated", "blink-cam-03.softflowd-v5-300s.pcap")
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"isc", "dnsmasq"} {
		write(name, "")
	}
	write("neighbours", "10.20.0.9 dev eth0 lladdr 00:40:8c:00:00:09 REACHABLE\n")
	write("nmap.xml", `<?xml version="1.0"?><nmaprun><host><status state="up"/><address addr="10.20.0.7" addrtype="ipv4"/><address addr="00:40:8C:00:00:07" addrtype="mac"/></host></nmaprun>`)
	write("community", "secret\n")
	router := sourcetest.SNMP(t, neighbours)
	s := newSite(t, "networks: [192.168.0.0/16]", fmt.Sprintf("identity: {inventories: [%q], sources: [{file: %q, format: isc}, {file: %q, format: dnsmasq}, {file: %q, format: ip-neigh}], snmp: {interval: 10s, routers: [{address: %q, community_file: %q}]}}",
		path("nmap.xml"), path("isc"), path("dnsmasq"), path("neighbours"), router, path("community")))
	s.start("--dev-chain")

	var all []sourceStatus
	told := func(source string, bindings int) sourceStatus {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
			all = nil
			s.read(&all, "devices", "sources", "--output", "json")
			for _, one := range all {
				if strings.HasPrefix(one.Source, source) && (one.Bindings == bindings || one.Format == "snmp" && one.Bindings >= bindings) {
					return one
				}
			}
			if time.Now().After(end) {
				t.Fatalf("%s does not tell %d bindings within a minute: %+v", source, bindings, all)
			}
		}
	}
	told(path("neighbours"), 1)
	told(path("nmap.xml"), 1)
	told(router, 2) // and what the machine under it adds
	told(path("isc"), 0)

	lease := func(mac, starts, ends string) string {
		return fmt.Sprintf("lease %s {\n  starts 0 %s;\n  ends 0 %s;\n  binding state active;\n  hardware ethernet %s;\n}\n", address, starts, ends, mac)
	}
	const middle = "2021/03/12 00:00:00" // of the capture: 8 to 15 March
	write("isc", lease(first, "2020/01/01 00:00:00", middle)+lease(second, middle, "2037/01/01 00:00:00")+"lease 192.168.1 {\n  starts 0 x;\n}\n")
	write("dnsmasq", fmt.Sprintf("%d 00:40:8c:00:00:05 10.20.0.5 five *\nnonsense\n", time.Now().Add(time.Hour).Unix()))
	if one := told(path("isc"), 2); one.Bad == 0 || !strings.Contains(one.Faults[0], "line 13") {
		t.Errorf("a broken lease is not named: %+v", one)
	}
	if one := told(path("dnsmasq"), 1); one.Bad != 1 {
		t.Errorf("a broken line is not counted: %+v", one)
	}
	s.want(exitOK, "replay", capture)
	s.want(exitOK, "anchor", "now")
	var found []struct {
		MAC      string `json:"mac"`
		Identity string `json:"identity"`
		Flows    uint64 `json:"flows"`
	}
	s.read(&found, "devices", "--output", "json", "--match", address)
	macs := map[string]bool{}
	for _, d := range found {
		if d.Identity != "assigned" || d.Flows == 0 {
			t.Errorf("%+v, want a device that a lease tells of, with flows", d)
		}
		macs[d.MAC] = true
	}
	if len(found) != 2 || !macs[first] || !macs[second] {
		t.Errorf("%s is of %+v, want %s before %s and %s after", address, found, first, middle, second)
	}
	s.says(exitOK, []string{"10.20.0.5", "lease"}, "coverage")
	s.says(exitOK, []string{"attached", router + " swp3 (bridge table; 1 station"}, "devices", "show", first)
}

// neighbours are those of a router, as snmpd tells them.
const neighbours = `rocommunity secret 127.0.0.1
override 1.3.6.1.2.1.4.1.0 integer 1
override 1.3.6.1.2.1.2.2.1.6.7 octet_str "bcdefg"
override 1.3.6.1.2.1.4.20.1.2.10.20.0.1 integer 7
override 1.3.6.1.2.1.4.35.1.4.7.1.4.10.20.0.2 octet_str "dcdefg"
override 1.3.6.1.2.1.17.1.4.1.2.3 integer 7
override 1.3.6.1.2.1.17.4.3.1.2.244.184.94.0.0.38 integer 3
override 1.3.6.1.2.1.31.1.1.1.1.7 octet_str "swp3"
`
