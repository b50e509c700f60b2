package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tidemark.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfig_DefaultsAreValidAndSurvivePrinting(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Fatalf("defaults: %v", err)
	}
	var text strings.Builder
	if err := printConfig(&text, Defaults()); err != nil {
		t.Fatal(err)
	}
	back, err := LoadConfig(writeConfig(t, text.String()))
	if err != nil {
		t.Fatalf("read what was printed: %v\n%s", err, text.String())
	}
	if !reflect.DeepEqual(back, Defaults()) {
		t.Fatalf("printed and read back:\n%+v\nwant\n%+v", back, Defaults())
	}
}

func TestConfig_ReportsEveryFaultWithPathAndLine(t *testing.T) {
	_, err := LoadConfig(writeConfig(t, `
site: "Not A Name"
networks: [10.0.0.0/8, 300.1.1.1/8]
colector: {}
collector:
  worker: 4
  workers: many
  receive_buffer: 12 parsecs
  listen: ["2055"]
  exporters:
    - address: 192.0.2.0/24
      clock: sundial
storage: {retention: 1h}
contain: {hook: quarantine}
http: {listen: 1, listen: 2}
log: {level: loud}
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`site: got "Not A Name"`, "line 3: networks[1]", `line 4: colector: unknown key, did you mean "collector"?`,
		`line 6: collector.worker: unknown key, did you mean "workers"?`, `line 7: collector.workers: got "many"`,
		"line 8: collector.receive_buffer", `collector.listen[0]: "2055"`, `exporters[0].clock: got "sundial"`,
		"storage.retention: got 1h", `contain.hook: got "quarantine"`, "http.listen: written twice", `log.level: got "loud"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
	if exitCode(err) != exitUsage {
		t.Errorf("exit code %d, want %d", exitCode(err), exitUsage)
	}
}

func TestConfig_PrintHidesSecretsOfAddresses(t *testing.T) {
	cfg := Defaults()
	cfg.Chain.RPC = "https://user:password@rpc.example.org/v3/0123456789abcdef"
	cfg.Storage.URL = "https://ch.example.org:8443"
	var text strings.Builder
	if err := printConfig(&text, cfg); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"password", "0123456789abcdef"} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("%q is printed:\n%s", secret, text.String())
		}
	}
	if !strings.Contains(text.String(), "https://ch.example.org:8443") {
		t.Errorf("harmless address is not printed:\n%s", text.String())
	}
}

func TestUnits_RoundTrip(t *testing.T) {
	for _, s := range []string{"30s", "1h30m", "90d", "12h", "250ms", "1m30s"} {
		var d Duration
		if err := d.UnmarshalText([]byte(s)); err != nil || d.String() != s {
			t.Errorf("duration %s: read %v, error %v", s, d, err)
		}
	}
	for _, s := range []string{"32MiB", "2GiB", "1000", "64KiB"} {
		var b ByteSize
		if err := b.UnmarshalText([]byte(s)); err != nil || b.String() != s {
			t.Errorf("size %s: read %v, error %v", s, b, err)
		}
	}
	for got, want := range map[string]string{
		count(1234567): "1,234,567", count(-1234): "-1,234", count(7): "7",
		octets(uint64(999)): "999 B", octets(uint64(1_500_000)): "1.5 MB", octets(uint64(212_400_000)): "212 MB",
		percent(0, 5): "0 %", percent(1, 1_000_000): "<0.01 %", percent(1, 8): "12.50 %",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
