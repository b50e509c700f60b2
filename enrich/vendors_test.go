package enrich

import (
	"strings"
	"testing"
)

func TestVendors_OwnTableComesFirst(t *testing.T) {
	v, err := ReadVendors("own", []byte("# ours\n00:40:8C\tLobby cameras\n52-54-00 QEMU\n70B3D5123 Sensor lab\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	for mac, want := range map[uint64]string{
		0x00408c112233: "Lobby cameras", 0x525400aabbcc: "QEMU", 0x70b3d5123456: "Sensor lab",
		0x00000c112233: Vendor(0x00000c112233), 0x021122334455: "(random)",
	} {
		if got := v.Name(mac); got != want {
			t.Errorf("%012x: got %q, want %q", mac, got, want)
		}
	}
	if got := (Vendors{}).Name(0x00408c112233); !strings.Contains(got, "AXIS") && !strings.Contains(got, "Axis") {
		t.Errorf("without a table: %q", got)
	}
}

func TestVendors_ReportsEveryFaultOfAFile(t *testing.T) {
	_, err := ReadVendors("own", []byte("00:40:8C Axis\n00:40 short\nnothing\n00408G x\n"))
	for _, want := range []string{"own", "line 2", "line 3", "line 4"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := ReadVendors("geo.mmdb", []byte("\x00\x01\xff\xfe")); err == nil || !strings.Contains(err.Error(), "no text file") {
		t.Errorf("a file of another kind: %v", err)
	}
	if _, err := ReadVendors("prose", []byte(strings.Repeat("all kinds of text\n", 500))); err == nil || len(err.Error()) > 4000 {
		t.Errorf("an error of %d characters", len(err.Error()))
	}
}

func FuzzReadVendors(f *testing.F) {
	f.Add([]byte("00:40:8C Axis\n70B3D5123 x\n"))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if v, err := ReadVendors("x", text); err == nil {
			v.Name(0x00408c000001)
		}
	})
}
