package netflow

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"tidemark/collector/flow"
)

// samples are whole datagrams of every kind the decoder reads.
func samples() map[string][]byte {
	return map[string][]byte{
		"v1":      join(u16(1), u16(1), u32(uptime), u32(exportUnix), u32(0), make([]byte, 48)),
		"v5":      v5(2, 1<<14|100),
		"v7":      join(u16(7), u16(1), u32(uptime), u32(exportUnix), u32(0), u32(1), u32(0), make([]byte, 52)),
		"v9":      v9(1, set(0, plain, asa), set(256, plainRecord(1), plainRecord(2)), set(260, asaRecord(2, 5, 6)), set(300, u32(1))),
		"options": v9(1, options9(257, []uint16{2, 4}, []uint16{34, 4, 82, 8, 83, 16}), set(257, make([]byte, 32))),
		"biflow":  ipfix(1, set(2, yaf), set(256, yafRecord(6, 1000, 5000))),
		"variable": ipfix(1, set(2, join(u16(400), u16(3), u16(96), u16(65535), pen(9999, 5, 65535), u16(152), u16(8))),
			set(400, u8(2), []byte("ab"), u8(255), u16(3), []byte("xyz"), u64(exportUnix*1000), u8(0, 0), u64(0))),
		"ipfix-options": ipfix(1, options10(256, 1, 302, 4, 305, 4, 309, 4, 310, 4, 160, 8), set(256, u32(9), u32(1), u32(1), u32(256), u64(exportUnix*1000))),
		"lists":         ipfix(1, listed, flowWith(7, join(u8(3), entry(300, make([]byte, 12)), entry(301, u8(2, 0x19, 0x12, 0x10))), join(u8(3), u16(302), u8(2), []byte("lo"), u16(42)))),
		"applications":  v9(1, options9(257, []uint16{1, 4}, []uint16{95, 4, 96, 6, 94, 8}), set(257, u32(0), u32(13<<24|431), []byte("camera"), make([]byte, 8))),
		"glued":         join(v9(1, set(0, plain)), v9(1, set(256, plainRecord(3)))),
	}
}

// survive decodes and checks what must hold for any octets.
func survive(t testing.TB, d *Decoder, payload []byte) {
	t.Helper()
	var b flow.Batch
	r := d.Decode(&b, router, payload)
	if r.Undecodable[flow.ReasonPanic] != 0 {
		t.Fatalf("Decode(%x) panicked", payload)
	}
	if b.Len() != r.Flows || len(b.Protocol) != r.Flows {
		t.Fatalf("Decode(%x): %d records, %d rows begun, Result says %d", payload, b.Len(), len(b.Protocol), r.Flows)
	}
	for i := range b.Len() {
		if b.SrcMAC[i]>>48 != 0 || b.DstMAC[i]>>48 != 0 || b.SamplingRate[i] == 0 ||
			b.TimeFlowStart[i] < 0 || b.TimeFlowEnd[i] < 0 || b.TimeFlowStart[i] > maxTime || b.TimeFlowEnd[i] > maxTime {
			t.Fatalf("Decode(%x): row %d does not fit the wire form", payload, i)
		}
	}
}

func TestDecoder_EveryPrefixSurvives(t *testing.T) {
	for name, whole := range samples() {
		for n := range len(whole) {
			var b flow.Batch
			r := New(Config{}).Decode(&b, router, whole[:n])
			survive(t, New(Config{}), whole[:n])
			if n < 16 && r.Undecodable == [flow.NumReasons]uint32{} {
				t.Errorf("%s cut to %d octets: nothing counted", name, n)
			}
		}
	}
}

func TestDecoder_EveryBitFlipSurvives(t *testing.T) {
	for _, whole := range samples() {
		d := New(Config{MaxSessions: 4, MaxTemplatesPerSession: 64, MaxPendingBytes: 1 << 20})
		for i := range len(whole) * 8 {
			whole[i/8] ^= 1 << (i % 8)
			survive(t, d, whole)
			whole[i/8] ^= 1 << (i % 8)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples() {
		f.Add(s, []byte{})
	}
	all := samples()
	f.Add(all["v9"], all["v9"])
	f.Add(v9(1, set(256, plainRecord(1))), v9(1, set(0, plain)))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		d := New(Config{MaxTemplatesPerSession: 64, MaxPendingBytes: 1 << 20})
		survive(t, d, first)
		survive(t, d, second)
		survive(t, d, first)
		d.Abandon()
		if n := d.pendingBytes.Load(); n != 0 {
			t.Fatalf("%d octets still counted as waiting", n)
		}
	})
}

// The committed corpus is what the makers make, so that `go test` runs it even
// where the fuzz target's seeds change.
func TestFuzzCorpus_IsCommitted(t *testing.T) {
	dir := filepath.Join("testdata", "fuzz", "FuzzDecode")
	if os.Getenv("TIDEMARK_WRITE_CORPUS") != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, s := range samples() {
			text := "go test fuzz v1\n[]byte(" + strconv.Quote(string(s)) + ")\n[]byte(\"\")\n"
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < len(samples()) {
		t.Fatalf("%d corpus files in %s (%v), want %d: run with TIDEMARK_WRITE_CORPUS=1", len(files), dir, err, len(samples()))
	}
}
