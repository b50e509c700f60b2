package collector

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

func prefix(s string) Network { return Network{netip.MustParsePrefix(s)} }

func TestConfig_ReadsYAML(t *testing.T) {
	const text = `
listen: [":2055", "[::1]:6343"]
receive_buffer: 1048576
flush_interval: 50ms
allow: [192.0.2.0/24, 2001:db8::7]
exporters:
  - address: 192.0.2.9
    clock: as_exported
    sampling_rate: 100
    sampling_override: true
`
	var got Config
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	want := Config{Listen: []string{":2055", "[::1]:6343"}, ReceiveBuffer: 1 << 20, FlushInterval: 50 * time.Millisecond,
		Allow:     []Network{prefix("192.0.2.0/24"), prefix("2001:db8::7/128")},
		Exporters: []ExporterConfig{{Address: prefix("192.0.2.9/32"), Clock: AsExported, SamplingRate: 100, SamplingOverride: true}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := yaml.Unmarshal([]byte("allow: [here]"), &got); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("error %v, want one that shows how a network is written", err)
	}
}

func TestConfig_ValidateReportsEveryFault(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero Config: %v", err)
	}
	err := Config{
		Listen: []string{":2055", "router:2055", ":2055", "10.0.0.1"}, ReceiveBuffer: 1, Workers: -1, BatchRows: 1 << 30,
		FlushInterval: time.Hour, DrainTimeout: -1, MaxExporters: -5, Allow: []Network{{}},
		Exporters: []ExporterConfig{{}, {Address: prefix("10.0.0.0/8"), Clock: "sundial", SamplingOverride: true},
			{Address: prefix("10.1.0.0/8")}},
		RateLimit: -1, Tee: []string{"192.0.2.1", ":2055", "a:1", "a:1"},
		TCP: []string{":4739", "x"}, TLS: TLSConfig{Listen: []string{":4739"}, Key: "k"},
	}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"collector.listen[1]", "collector.listen[2]", "collector.listen[3]", "collector.receive_buffer", "collector.workers",
		"collector.batch_rows", "collector.flush_interval", "collector.drain_timeout", "collector.max_exporters", "collector.allow[0]",
		"collector.exporters[0].address", "collector.exporters[1].clock", "collector.exporters[1].sampling_override", "collector.exporters[2].address",
		"collector.rate_limit", "collector.tee[0]", "collector.tee[1]", "collector.tee[3]", "collector.tcp[1]", "collector.tls.listen[0]", "collector.tls"} {
		if !strings.Contains(err.Error(), want+":") {
			t.Errorf("no fault of %s in:\n%v", want, err)
		}
	}
}
