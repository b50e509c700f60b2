package names

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Makers of the data types of the MaxMind DB file format, version 2.0.

func mmString(s string) []byte {
	if len(s) >= 29 {
		return append([]byte{2<<5 | 29, byte(len(s) - 29)}, s...)
	}
	return append([]byte{2<<5 | byte(len(s))}, s...)
}

func mmUint(kind byte, v uint64, octets int) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	control := []byte{kind<<5 | byte(octets)}
	if kind > 7 {
		control = []byte{byte(octets), kind - 7}
	}
	return append(control, b[8-octets:]...)
}

func mmMap(pairs ...[]byte) []byte {
	out := []byte{7<<5 | byte(len(pairs)/2)}
	for _, p := range pairs {
		out = append(out, p...)
	}
	return out
}

// mmdb is a database of IPv4 in which every address from 128.0.0.0 has one record.
func mmdb(kind string, record []byte) []byte {
	const nodes = 1
	file := []byte{0, 0, nodes, 0, 0, nodes + 16} // left: nothing; right: the first record
	file = append(file, make([]byte, 16)...)
	file = append(file, record...)
	file = append(file, "\xab\xcd\xefMaxMind.com"...)
	return append(file, mmMap(
		mmString("node_count"), mmUint(6, nodes, 4), mmString("record_size"), mmUint(5, 24, 2), mmString("ip_version"), mmUint(5, 4, 2),
		mmString("database_type"), mmString(kind), mmString("languages"), []byte{1, 4, 2<<5 | 2, 'e', 'n'},
		mmString("binary_format_major_version"), mmUint(5, 2, 2), mmString("binary_format_minor_version"), mmUint(5, 0, 2),
		mmString("build_epoch"), mmUint(9, 1700000000, 8), mmString("description"), mmMap(mmString("en"), mmString("test")),
	)...)
}

func writeFile(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNetworks_LookUp(t *testing.T) {
	asn := writeFile(t, "asn.mmdb", mmdb("GeoLite2-ASN", mmMap(mmString("autonomous_system_number"), mmUint(6, 64500, 4), mmString("autonomous_system_organization"), mmString("Example Cloud"))))
	country := writeFile(t, "country.mmdb", mmdb("DBIP-Country-Lite", mmMap(mmString("country"), mmMap(mmString("iso_code"), mmString("NL")))))
	n, err := OpenNetworks(asn, country)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if got, want := n.Lookup(netip.MustParseAddr("::ffff:198.51.100.7")), (Network{64500, "Example Cloud", "NL"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := n.Lookup(netip.MustParseAddr("10.0.0.1")); got != (Network{}) {
		t.Errorf("an address of which the file knows nothing: %+v", got)
	}
	var none *Networks
	if got := none.Lookup(netip.MustParseAddr("198.51.100.7")); got != (Network{}) {
		t.Errorf("no files: %+v", got)
	}
}

// TestNetworks_AFileCutInPlaceIsNoHarm: a download writes over the file that is read.
func TestNetworks_AFileCutInPlaceIsNoHarm(t *testing.T) {
	asn := writeFile(t, "asn.mmdb", mmdb("GeoLite2-ASN", mmMap(mmString("autonomous_system_number"), mmUint(6, 64500, 4))))
	n, err := OpenNetworks(asn, "")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := os.Truncate(asn, 0); err != nil {
		t.Fatal(err)
	}
	if got := n.Lookup(netip.MustParseAddr("198.51.100.7")); got.ASN != 64500 {
		t.Errorf("got %+v, want what was read", got)
	}
}

// TestNetworks_RefusesWhatIsNoGood: a file of another kind, of another database,
// and every cut of a good one.
func TestNetworks_RefusesWhatIsNoGood(t *testing.T) {
	good := mmdb("GeoLite2-ASN", mmMap(mmString("autonomous_system_number"), mmUint(6, 64500, 4)))
	tests := map[string]struct {
		text []byte
		want string
	}{
		"a text":                {[]byte("00:40:8C Axis\n"), "MaxMind's format"},
		"nothing":               {nil, "MaxMind's format"},
		"countries for systems": {mmdb("GeoLite2-Country", mmMap()), "want one of autonomous systems"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := OpenNetworks(writeFile(t, "x.mmdb", tt.text), "")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	for n := range len(good) {
		if _, err := OpenNetworks(writeFile(t, "x.mmdb", good[:n]), ""); err == nil {
			t.Errorf("a file cut to %d of %d octets is accepted", n, len(good))
		}
	}
	if _, err := OpenNetworks(filepath.Join(t.TempDir(), "none.mmdb"), ""); err == nil {
		t.Error("a file that is not there is accepted")
	}
}
