package netflow

import (
	"testing"

	"tidemark/collector/flow"
)

func TestApplicationID_IsWrittenByItsEngine(t *testing.T) { // RFC 6759, Section 4.1
	for want, id := range map[string][]byte{
		"3:80":                   {3, 0, 80},
		"13:431":                 {13, 0, 1, 0xaf},
		"20:12356:36660":         {20, 0, 0, 0x30, 0x44, 0, 0, 0x8f, 0x34},
		"20:9:5":                 {20, 0, 0, 0, 9, 5},
		"20:7":                   {20, 0, 0, 7},
		"6:0x010000000000000000": {6, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"":                       {1},
	} {
		if got := ApplicationID(id); got != want {
			t.Errorf("ApplicationID(%x) = %q, want %q", id, got, want)
		}
	}
}

// What an exporter calls applications is known by its address, over a restart too,
// and the later name wins.
func TestOptions_NameApplications(t *testing.T) {
	store := &memoryStore{records: map[string][]byte{}}
	d := New(Config{Templates: store})
	run(t, d, router,
		v9(3, options9(256, []uint16{1, 4}, []uint16{95, 4, 96, 6, 94, 8}), set(256, u32(0), u32(13<<24|431), []byte("http\x00\x00"), []byte("web\x00\x00\x00\x00\x00"))),
		v9(3, set(256, u32(0), u32(13<<24|431), []byte("https\x00"), []byte("web, TLS"), u32(0), u32(3<<24|53), []byte("dns\x00\x00\x00"), make([]byte, 8))),
		ipfix(3, options10(300, 1, 95, 65535, 96, 65535), set(300, u8(9), []byte{20, 0, 0, 0x30, 0x44, 0, 0, 0x8f, 0x34}, u8(7), []byte("netflix"))),
		ipfix(4, options10(301, 1, 95, 65535, 96, 65535), set(301, u8(1, 1, 1), []byte("x"), u8(17), make([]byte, 17), u8(1), []byte("y"), u8(3, 1, 2, 3, 0))))
	check := func(d *Decoder) {
		t.Helper()
		got := d.Applications(router.Exporter, flow.NetFlowV9)
		want(t, "v9 applications", len(got), 2)
		want(t, "dns", got[0], Application{"3:53", "dns", ""})
		want(t, "the later name", got[1], Application{"13:431", "https", "web, TLS"})
		got = d.Applications(router.Exporter, flow.IPFIX)
		want(t, "IPFIX applications: ids of 1 and 17 octets, and without a name, are none", len(got), 1)
		want(t, "an enterprise's", got[0], Application{"20:12356:36660", "netflix", ""})
		want(t, "another exporter", len(d.Applications(from("192.0.2.99", 1).Exporter, flow.NetFlowV9)), 0)
	}
	check(d)
	restarted := New(Config{Templates: store})
	want(t, "restored", restarted.Restore(), Restored{Templates: 3, Options: 3})
	check(restarted)
}
