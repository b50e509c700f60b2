package kind

import (
	"strings"
	"testing"
)

func rules(t testing.TB) *Rules {
	t.Helper()
	r, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func serves(proto uint8, port uint16, peers uint64) Service {
	return Service{Role: Serves, Proto: proto, Port: port, Peers: peers}
}

func uses(proto uint8, port uint16, peers uint64, wan bool) Service {
	return Service{Role: Uses, Proto: proto, Port: port, Peers: peers, WAN: wan}
}

func few() Behaviour {
	b := NoBehaviour()
	b.Hours, b.Packets, b.Networks, b.NetworksDay, b.TopShare, b.Services, b.ActiveHours = 100, 5000, 3, 2, 0.95, 3, 1
	return b
}

// volume is few() with octets: a day's with the outside, and how many were sent
// for each received.
func volume(bytesDay, outIn float64) Behaviour {
	b := few()
	b.BytesDay, b.OutIn = bytesDay, outIn
	return b
}

// polled is few() of something that others ask.
func polled(packetsHour, bytesDay float64) Behaviour {
	b := few()
	b.Packets, b.Samples, b.BytesDay, b.OutIn = packetsHour*b.Hours, 1, bytesDay, 1
	return b
}

// perFlow is volume() with octets of a flow.
func perFlow(bytesDay, outIn, bytesFlow float64) Behaviour {
	b := volume(bytesDay, outIn)
	b.Samples, b.BytesFlow = 1, bytesFlow
	return b
}

// TestClassify_TellsKindsApart: devices as any expert would describe them.
func TestClassify_TellsKindsApart(t *testing.T) {
	tests := []struct {
		name string
		f    Facts
		kind string
		iot  IoT
	}{
		{"nothing known", Facts{Behaviour: NoBehaviour()}, "", IoTUnknown},
		{"only a browser's port", Facts{Services: []Service{uses(6, 443, 3, true)}, Behaviour: NoBehaviour()}, "", IoTUnknown},
		{"camera on its LAN", Facts{Vendor: "Axis Communications AB", Services: []Service{serves(6, 554, 2), uses(17, 123, 1, true)}, Behaviour: NoBehaviour()}, "camera", IsIoT},
		{"camera in the cloud", Facts{Domains: []string{"rest-prod.immedia-semi.com"}, Behaviour: few()}, "camera", IsIoT},
		{"recorder", Facts{Vendor: "Hangzhou Hikvision Digital Technology Co.,Ltd.", Services: []Service{uses(6, 554, 8, false), serves(6, 8000, 1)}, Behaviour: NoBehaviour()}, "nvr", IsIoT},
		{"printer", Facts{Vendor: "HP Inc.", Services: []Service{serves(6, 9100, 12), serves(6, 631, 3), serves(17, 161, 1)}, Behaviour: NoBehaviour()}, "printer", IsIoT},
		{"phone on a desk", Facts{Vendor: "Polycom", Services: []Service{uses(17, 5060, 1, false)}, Behaviour: NoBehaviour()}, "voip-phone", IsIoT},
		{"controller", Facts{Vendor: "Siemens AG", Services: []Service{serves(6, 102, 2)}, Behaviour: NoBehaviour()}, "plc", IsIoT},
		{"building controller", Facts{Services: []Service{serves(17, 47808, 3), {Role: Announces, Proto: 17, Port: 47808, Peers: 1}}, Behaviour: few()}, "building", IsIoT},
		{"Tuya light", Facts{Vendor: "Tuya Smart Inc.", Domains: []string{"a1.tuyaeu.com"}, Services: []Service{{Role: Announces, Proto: 17, Port: 6667, Peers: 1}}, Behaviour: NoBehaviour()}, "smart-home", IsIoT},
		{"module with a broker", Facts{Vendor: "Espressif Inc.", Services: []Service{uses(6, 8883, 1, true)}, Behaviour: few()}, "", IsIoT},
		{"Windows PC", Facts{Vendor: "Dell Inc.", Domains: []string{"www.msftconnecttest.com"}, Services: []Service{uses(6, 445, 1, false)}, Behaviour: NoBehaviour()}, "computer", NotIoT},
		{"phone", Facts{Domains: []string{"e1.whatsapp.net"}, Services: []Service{uses(6, 5228, 1, true)}, Hostnames: []string{"galaxy-s21"}, Behaviour: NoBehaviour()}, "phone", NotIoT},
		{"domain controller", Facts{Vendor: "VMware, Inc.", Services: []Service{serves(6, 88, 30), serves(6, 389, 30), serves(17, 53, 30)}, Behaviour: NoBehaviour()}, "server", NotIoT},
		{"something that uploads all day", Facts{Services: []Service{uses(6, 443, 4, true)}, Behaviour: volume(3e7, 40)}, "camera", IsIoT},
		{"something that reports all day", Facts{Services: []Service{uses(6, 443, 4, true)}, Behaviour: volume(3e5, 1.4)}, "", IsIoT},
		{"vacuum that uploads its maps", Facts{Vendor: "iRobot Corporation", Services: []Service{uses(6, 443, 2, true)}, Behaviour: volume(2e6, 12)}, "appliance", IsIoT},
		{"television of a maker of telephones", Facts{Vendor: "Samsung Electronics Co.,Ltd", Services: []Service{uses(6, 443, 12, true)}, Behaviour: volume(2e9, 0.02)}, "tv", IsIoT},
		{"telephone that plays films", Facts{Vendor: "Samsung Electronics Co.,Ltd", Services: []Service{uses(6, 443, 12, true), uses(6, 5228, 1, true)}, Behaviour: volume(2e9, 0.02)}, "", IoTUnknown},
		{"quiet virtual machine", Facts{Vendor: "VMware, Inc.", Services: []Service{uses(6, 443, 1, true)}, Behaviour: few()}, "", NotIoT},
		{"plug of a maker of routers", Facts{Vendor: "TP-LINK TECHNOLOGIES CO.,LTD.", Services: []Service{uses(6, 443, 3, true)}, Behaviour: volume(3e5, 1.1)}, "smart-home", IsIoT},
		{"router of a maker of plugs", Facts{Vendor: "TP-LINK TECHNOLOGIES CO.,LTD.", Services: []Service{serves(17, 67, 9), serves(17, 53, 9)}, Behaviour: NoBehaviour()}, "infrastructure", NotIoT},
		{"meter", Facts{Vendor: "Janitza electronics GmbH", Services: []Service{serves(6, 502, 1)}, Behaviour: NoBehaviour()}, "energy", IsIoT},
		{"meter or controller", Facts{Services: []Service{serves(6, 502, 1)}, Behaviour: few()}, "", IsIoT},
		{"controller that publishes", Facts{Vendor: "Siemens AG", Services: []Service{uses(6, 1883, 1, false)}, Behaviour: few()}, "plc", IsIoT},
		{"recorder on a storage", Facts{Vendor: "Synology Incorporated", Services: []Service{uses(6, 554, 6, false), serves(6, 5001, 1)}, Behaviour: NoBehaviour()}, "nvr", IsIoT},
		{"controller asked every second", Facts{Services: []Service{serves(6, 502, 1)}, Behaviour: polled(20000, 0)}, "plc", IsIoT},
		{"inverter asked every second, with a cloud", Facts{Services: []Service{serves(6, 502, 1), uses(6, 443, 1, true)}, Behaviour: polled(20000, 400000)}, "", IsIoT},
		{"meter asked every minute", Facts{Services: []Service{serves(6, 502, 1)}, Behaviour: polled(300, 0)}, "", IsIoT},
		{"database and broker of a site", Facts{Services: []Service{serves(6, 1433, 5), serves(6, 1883, 7), serves(6, 104, 3)}, Behaviour: few()}, "server", NotIoT},
		{"broker of a home", Facts{Services: []Service{serves(6, 1883, 7)}, Behaviour: few()}, "", IsIoT},
		{"something that uploads when something moves", Facts{Services: []Service{uses(6, 443, 2, true)}, Behaviour: perFlow(1e6, 10, 140e3)}, "camera", IsIoT},
		{"something that sends much in many flows", Facts{Services: []Service{uses(6, 443, 2, true)}, Behaviour: perFlow(1e6, 10, 3e3)}, "", IsIoT},
		{"something that fetches updates", Facts{Services: []Service{uses(6, 443, 2, true)}, Behaviour: perFlow(17e6, 0.02, 4e6)}, "", IoTUnknown},
		{"Tuya light, by its talk alone", Facts{Services: []Service{uses(6, 8886, 1, true), {Role: Announces, Proto: 17, Port: 6667, Peers: 1}}, Behaviour: few()}, "smart-home", IsIoT},
		{"door controller", Facts{Services: []Service{uses(6, 4070, 1, false), uses(17, 4070, 1, false)}, Behaviour: few()}, "lock", IsIoT},
		{"music by a port of doors", Facts{Services: []Service{uses(6, 4070, 3, true)}, Behaviour: few()}, "", IsIoT},
		{"weather station", Facts{Services: []Service{uses(6, 25050, 1, true)}, Behaviour: few()}, "sensor", IsIoT},
		{"thermostat", Facts{Services: []Service{uses(6, 8089, 1, true)}, Behaviour: few()}, "thermostat", IsIoT},
		{"sound is not Sonos", Facts{Vendor: "sonoscape", Behaviour: NoBehaviour()}, "", IoTUnknown},
	}
	r := rules(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := r.Classify(&tt.f)
			if v.Kind != tt.kind || v.IoT != tt.iot {
				t.Errorf("got kind %q, %s; want %q, %s; %.2f; scores %v; terms %v", v.Kind, v.IoT, tt.kind, tt.iot, v.Probability, v.Scores[:3], v.Terms)
			}
		})
	}
}

// TestClassify_GroupCapsHold: saying the same thing often is no more evidence.
func TestClassify_GroupCapsHold(t *testing.T) {
	r := rules(t)
	k := r.Kind("camera")
	v := r.Classify(&Facts{Services: []Service{serves(6, 554, 9), serves(6, 8000, 9), serves(6, 37777, 9), serves(17, 3702, 9)}, Behaviour: NoBehaviour()})
	var sum float64
	for _, term := range v.Terms {
		sum += term.Weights["camera"]
	}
	if limit := r.Cap("server"); sum <= limit {
		t.Fatalf("the rules add up to %v: want more than the cap %v for this test", sum, limit)
	}
	for _, s := range v.Scores {
		if s.Kind == "camera" && s.Nats > k.prior+2*r.Cap("server")+1e-9 {
			t.Errorf("got %v nats, want at most prior and cap", s.Nats)
		}
	}
}

func TestClassify_ExplainsByTheHeaviestTerm(t *testing.T) {
	v := rules(t).Classify(&Facts{Vendor: "Axis Communications AB", Services: []Service{serves(6, 554, 2)}, Behaviour: NoBehaviour()})
	if len(v.Terms) != 2 || v.Terms[0].Text != "its MAC is of Axis Communications AB" || v.Terms[1].Text != "serves tcp/554 (2 clients)" {
		t.Errorf("got %+v", v.Terms)
	}
}

func TestRules_ProbabilitiesAddUp(t *testing.T) {
	v := rules(t).Classify(&Facts{Vendor: "Roku, Inc", Behaviour: NoBehaviour()})
	var sum float64
	for _, s := range v.Scores {
		sum += s.Probability
	}
	if sum < 0.999 || sum > 1.001 {
		t.Errorf("probabilities add up to %v", sum)
	}
}

func TestRules_OverrideReplacesAddsAndDisables(t *testing.T) {
	r, err := rules(t).With("own.yaml", []byte(`
kinds:
- {id: robot, title: robot, iot: true}
rules:
- {id: vendor-camera, group: vendor, weights: {robot: 2}, when: {vendor: [axis communications]}}
- {id: robot-port, group: server, weights: {robot: 4}, when: {serves: [tcp/30002]}}
disable: [serves-rtsp]
`))
	if err != nil {
		t.Fatal(err)
	}
	v := r.Classify(&Facts{Vendor: "Axis Communications AB", Services: []Service{serves(6, 30002, 1), serves(6, 554, 1)}, Behaviour: NoBehaviour()})
	if v.Kind != "robot" || len(v.Terms) != 2 {
		t.Errorf("got %q by %v", v.Kind, v.Terms)
	}
	if v := rules(t).Classify(&Facts{Services: []Service{serves(6, 554, 1)}, Behaviour: NoBehaviour()}); len(v.Terms) != 1 {
		t.Error("the override changed the default rules")
	}
}

func TestRules_ReportsEveryFaultAtOnce(t *testing.T) {
	_, err := rules(t).With("own.yaml", []byte(`
kinds:
- {id: Robot, title: x}
groups:
- {id: vendor, cap: 100}
rules:
- {id: a, group: nothing, weights: {camera: 1}, when: {serves: [554]}}
- {id: a, group: server, weights: {cam: 1, camera: .inf}, when: {}}
- {id: b, group: behaviour, weights: {camera: 1}, when: {behaviour: {speed: [0, 1], hours: [2, 1]}, colour: red}}
- {id: c, group: vendor, iot: .nan, when: {vendor: [Axis], scope: moon}}
disable: [no-such-rule]
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"own.yaml", "line 3: kinds[0]", "cap 100", `no group "nothing"`, `got "554"`, `a second rule with the id "a"`, `no kind "cam"`, "+Inf",
		"has no condition", `no measure "speed"`, "hours: got [2 1]", "colour", "NaN", `"Axis"`, "moon", `no rule "no-such-rule"`, "line 7: rules[0]",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

func TestRules_NotYAML(t *testing.T) {
	for _, text := range []string{"\x00\x01", "kinds: [", "- a\n- b", "kinds: 5", "rules:\n- 3"} {
		if _, err := rules(t).With("own.yaml", []byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	if _, err := rules(t).With("own.yaml", nil); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func FuzzRules(f *testing.F) {
	f.Add([]byte("rules:\n- {id: a, group: server, weights: {camera: 1}, when: {serves: [tcp/1-2]}}\n"), "Axis", "a.b")
	f.Add([]byte("disable: [serves-rtsp]\n"), "", "")
	base := rules(f)
	f.Fuzz(func(t *testing.T, text []byte, vendor, domain string) {
		r, err := base.With("x", text)
		if err != nil {
			return
		}
		v := r.Classify(&Facts{Vendor: vendor, Domains: []string{domain}, Behaviour: NoBehaviour()})
		if !(v.Probability >= 0 && v.Probability <= 1.0000001) {
			t.Errorf("probability %v", v.Probability)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	r := rules(b)
	f := Facts{Vendor: "Axis Communications AB", Services: []Service{serves(6, 554, 2), serves(6, 80, 2), uses(17, 53, 1, false), uses(17, 123, 1, true), uses(6, 443, 3, true)}, Behaviour: few()}
	for b.Loop() {
		r.Classify(&f)
	}
}
