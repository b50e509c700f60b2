package eval

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/cmd/sitesim/internal/trial"
)

// TestConfigure_AnOperatorKnowsTheListedAndNothingElse: the program is told the address
// of the attacker that the site's list names, and of no other.
func TestConfigure_AnOperatorKnowsTheListedAndNothingElse(t *testing.T) {
	d := configured(Tuning)
	truth := &trial.Truth{
		Devices: []trial.Device{{Name: "plug-2", Born: 9 * day}},
		Routers: []trial.Router{{Name: "router B", Address: "10.20.0.12"}},
		Attacks: []trial.Attack{
			{Strike: trial.Strike{Attack: "beacon", Device: "cam"}, Peer: "198.51.100.7"},
			{Strike: trial.Strike{Attack: "lateral", Device: "lock"}, Peer: "10.20.40.9"},
		},
	}
	d.rename(truth)
	dir := t.TempDir()
	config, err := d.configure(truth, dir)
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(dir, "bad-hosts.txt"))
	if err != nil || !strings.Contains(string(list), "198.51.100.7") || strings.Contains(string(list), "10.20.40.9") || !strings.Contains(config, "bad-hosts.txt") {
		t.Errorf("list %q, configuration %q, error %v", list, config, err)
	}
	var names []string
	for _, a := range truth.Attacks {
		names = append(names, a.Attack)
		if _, ok := accepted[a.Attack]; !ok {
			t.Errorf("%s has no families that name it", a.Attack)
		}
	}
	if got := strings.Join(names, " "); got != "listed-peer not-permitted new-device" {
		t.Errorf("the truth is %q", got)
	}
}

// TestSubject_ARouterIsNobodysDevice: what is said of a router counts as said of it.
func TestSubject_ARouterIsNobodysDevice(t *testing.T) {
	truth := &trial.Truth{Devices: []trial.Device{{Name: "cam", Addresses: []string{"10.20.0.12"}}}, Routers: []trial.Router{{Name: "router B", Address: "10.20.0.12"}}}
	for text, want := range map[string]string{
		"exporter 10.20.0.12: nothing comes from it any more.":  "router B",
		"10.20.0.12 (known by address): used telnet (tcp/23).":  "cam",
		"exporter 10.20.0.99: nothing comes from it any more.":  "",
		"10.20.0.13 (Axis, 00:40:8c:00:00:01): used something.": "",
	} {
		got := ""
		if who := subject(&alert{Text: text, Opened: time.Now()}, nil, truth); who != nil {
			got = who.Name
		}
		if got != want {
			t.Errorf("%q is about %q, want %q", text, got, want)
		}
	}
}

// TestMUDFile_PermitsWhatTheDeviceNeeds: packets of each service, both ways.
func TestMUDFile_PermitsWhatTheDeviceNeeds(t *testing.T) {
	f := mudFile(trial.Device{Model: "cam", Needs: []trial.Need{{To: "cloud.example", Port: 443}, {Serves: true, Port: 554}}})
	lists := f["ietf-access-control-list:acls"].(object)["acl"].([]object)
	if len(lists) != 2 {
		t.Fatalf("got %d lists, want from and to the device", len(lists))
	}
	for i, want := range []string{"destination-port source-port destination-port", "source-port destination-port source-port"} {
		var keys []string
		for _, e := range lists[i]["aces"].(object)["ace"].([]object) {
			for _, transport := range []string{"tcp", "udp"} {
				if ports, ok := e["matches"].(object)[transport].(object); ok {
					for key := range ports {
						keys = append(keys, key)
					}
				}
			}
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("list %d matches %q, want %q", i, got, want)
		}
	}
}
