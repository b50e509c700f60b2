package netflow

import (
	"sync"
	"testing"

	"tidemark/collector/flow"
)

func TestDecoder_TemplatesAreKeyedByPortProtocolAndDomain(t *testing.T) {
	d := New(Config{})
	other := tmpl(256, 7, 2, 11, 2)
	run(t, d, router, v9(1, set(0, plain)))
	second := from("192.0.2.1", 50001)
	run(t, d, second, v9(1, set(0, other)))
	run(t, d, router, v9(2, set(0, other)), ipfix(1, set(2, tmpl(256, 8, 4))))

	batch, r := run(t, d, router, v9(1, set(256, plainRecord(7))))
	want(t, "own layout", batch.DstAddr[0], address16("::ffff:10.0.0.2"))
	want(t, "no conflict", r.Conflicts, 0)
	batch, _ = run(t, d, second, v9(1, set(256, u16(5), u16(6))))
	want(t, "other port's layout", batch.DstPort[0], 6)
	batch, _ = run(t, d, router, v9(2, set(256, u16(8), u16(9))))
	want(t, "other domain's layout", batch.DstPort[0], 9)
	batch, _ = run(t, d, router, ipfix(1, set(256, ip("10.9.9.9"))))
	want(t, "IPFIX's layout", batch.SrcAddr[0], address16("::ffff:10.9.9.9"))
}

func TestDecoder_TemplateIsBorrowedFromAnotherPortOfTheAddress(t *testing.T) {
	d := New(Config{})
	run(t, d, router, v9(1, set(0, plain)))
	_, r := run(t, d, from("192.0.2.1", 50001), v9(1, set(256, plainRecord(1))))
	want(t, "same address, other port", r.Flows, 1)
	_, r = run(t, d, from("192.0.2.2", 50000), v9(1, set(256, plainRecord(1))))
	want(t, "other address", r.Flows, 0)
	_, r = run(t, d, from("192.0.2.1", 50001), v9(1, set(256, plainRecord(1), u32(1), u32(2))))
	want(t, "set that the layout does not fit", r.Waiting, 1)

	run(t, d, from("192.0.2.1", 50002), v9(1, set(0, tmpl(256, 7, 2, 11, 2))))
	_, r = run(t, d, from("192.0.2.1", 50003), v9(1, set(256, plainRecord(1))))
	want(t, "ports that disagree lend nothing", r.Waiting, 1)
}

func TestDecoder_ReusedTemplateIDReplacesTemplate(t *testing.T) { // RFC 7011, Section 8.4
	d := New(Config{})
	_, r := run(t, d, router, v9(1, set(0, plain)), v9(1, set(0, plain)))
	want(t, "refresh is no conflict", r.Conflicts, 0)
	_, r = run(t, d, router, v9(1, set(0, tmpl(256, 7, 2, 11, 2))))
	want(t, "conflicts", r.Conflicts, 1)
	batch, _ := run(t, d, router, v9(1, set(256, u16(5), u16(6))))
	want(t, "new layout", batch.DstPort[0], 6)
	_, r = run(t, d, router, v9(1, set(1, u16(256), u16(4), u16(4), u16(1), u16(4), u16(34), u16(4))))
	want(t, "options template over a template", r.Conflicts, 1)
}

func TestDecoder_TemplateFloodIsBounded(t *testing.T) {
	d := New(Config{MaxTemplatesPerSession: 10})
	var refused uint32
	for id := range uint16(100) {
		_, r := run(t, d, router, v9(1, set(0, tmpl(256+id, 1, 4))))
		refused += r.Undecodable[flow.ReasonLimit]
	}
	want(t, "refused", refused, 90)
	_, r := run(t, d, router, v9(1, set(0, tmpl(256, 2, 4))))
	want(t, "known ids still change", r.Conflicts, 1)
}

func TestDecoder_ForgedSourcesDoNotPushOutExporters(t *testing.T) {
	d := New(Config{MaxSessions: 64})
	dg := router
	run(t, d, dg, v9(1, set(0, plain)))
	for i := range 1000 {
		forged := from("198.51.100.1", uint16(i+1))
		forged.Received = dg.Received + int64(i) + 1
		run(t, d, forged, v9(1, set(256, u32(1))))
	}
	if n := len(d.sessions); n > 64 {
		t.Errorf("%d sessions, want at most 64", n)
	}
	if n := len(d.peers[address16("198.51.100.1")]) + 1; n != len(d.sessions) {
		t.Errorf("%d sessions by address, %d by key", n, len(d.sessions))
	}
	_, r := run(t, d, router, v9(1, set(256, plainRecord(1))))
	want(t, "exporter's template lives", r.Flows, 1)
}

// An exporter heard for more than a moment keeps its templates, though a flood of
// forged ones came later and had templates too.
func TestDecoder_ForgedExportersDoNotPushOutOneThatIsSilentForMinutes(t *testing.T) {
	store := &memoryStore{records: map[string][]byte{}}
	run(t, New(Config{Templates: store}), from("192.0.2.9", 1), v9(1, set(0, plain), set(256, plainRecord(1))))
	d := New(Config{MaxSessions: 64, Templates: store})
	d.Restore() // one from before the restart
	dg := router
	run(t, d, dg, v9(1, set(0, plain)))
	dg.Received += establishedAfter
	run(t, d, dg, v9(1, set(256, plainRecord(1))))
	for i := range 1000 {
		forged := from("198.51.100.1", uint16(i+1))
		forged.Received = dg.Received + int64(i+1)
		run(t, d, forged, v9(1, set(0, plain)))
	}
	_, r := run(t, d, dg, v9(1, set(256, plainRecord(1))))
	want(t, "flows of the silent exporter", r.Flows, 1)
	_, r = run(t, d, from("192.0.2.9", 1), v9(1, set(256, plainRecord(1))))
	want(t, "flows of the one from before the restart", r.Flows, 1)
}

func TestDecoder_WithdrawalOverTCPRemovesTemplate(t *testing.T) { // RFC 7011, Section 8.1
	dg := router
	dg.Transport = flow.TCP
	d := New(Config{})
	_, r := run(t, d, dg, ipfix(1, set(2, plain, tmpl(257, 1, 4)), set(2, tmpl(256))), ipfix(1, set(256, plainRecord(1))))
	want(t, "withdrawn", r.Waiting, 1)
	_, r = run(t, d, dg, ipfix(1, set(257, u32(1))), ipfix(1, set(2, tmpl(2))), ipfix(1, set(257, u32(1))))
	want(t, "all withdrawn", r.Waiting, 1)
}

// memoryStore is a TemplateStore in memory.
type memoryStore struct {
	mu      sync.Mutex
	records map[string][]byte
	saves   int
}

func (m *memoryStore) Save(key string, record []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves++
	if record == nil {
		delete(m.records, key)
		return
	}
	m.records[key] = record
}

func (m *memoryStore) Load(restore func(string, []byte)) {
	for k, v := range m.records {
		restore(k, v)
	}
}

func TestDecoder_RestartIsNotBlind(t *testing.T) {
	store := &memoryStore{records: map[string][]byte{}}
	d := New(Config{Templates: store})
	enterprise := join(u16(300), u16(2), pen(9999, 1, 65535), u16(1), u16(4))
	options := join(u16(301), u16(2), u16(1), u16(149), u16(4), u16(305), u16(4))
	run(t, d, router, v9(1, set(0, plain)), ipfix(3, set(2, enterprise), set(3, options)), v9(1, set(0, plain)))
	want(t, "saves: a refresh is none", store.saves, 3)

	d = New(Config{Templates: store})
	want(t, "restored", d.Restore(), Restored{Templates: 3})
	_, r := run(t, d, router, v9(1, set(256, plainRecord(1))))
	want(t, "v9", r.Flows, 1)
	batch, r := run(t, d, router, ipfix(3, set(301, u32(3), u32(50)), set(300, u8(2), u16(7), u32(9))))
	want(t, "IPFIX", r.Flows, 1)
	want(t, "options", r.OptionsRecords, 1)
	want(t, "rate", batch.SamplingRate[0], 50)

	run(t, d, router, v9(1, set(0, tmpl(256, 7, 2, 11, 2))))
	d = New(Config{Templates: store})
	d.Restore()
	batch, _ = run(t, d, router, v9(1, set(256, u16(5), u16(6))))
	want(t, "the later layout", batch.DstPort[0], 6)
}

func TestDecoder_RestoreRefusesDamagedRecords(t *testing.T) {
	store := &memoryStore{records: map[string][]byte{}}
	run(t, New(Config{Templates: store}), router, v9(1, set(0, plain)))
	var good []byte
	for _, r := range store.records {
		good = r
	}
	for n := range good {
		store := &memoryStore{records: map[string][]byte{"x": good[:n]}}
		r := New(Config{Templates: store}).Restore()
		if r.Templates+r.Refused != 1 || (n-storedOwner-5)%8 != 0 && r.Refused != 1 {
			t.Fatalf("record cut to %d of %d octets: %+v", n, len(good), r)
		}
	}
}

func TestDecoder_SeveralWorkersShareIt(t *testing.T) {
	d := New(Config{MaxSessions: 8})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			var b flow.Batch
			for i := range 500 {
				dg := from("192.0.2.1", uint16(50000+(i+w)%12))
				switch i % 4 {
				case 0:
					d.Decode(&b, dg, v9(uint32(w), set(0, plain)))
				case 1:
					d.Decode(&b, dg, v9(uint32(w), set(256, plainRecord(1))))
				case 2:
					d.Decode(&b, dg, v9(uint32(i%7), set(999, u32(1))))
				default:
					d.Names(dg.Exporter, flow.NetFlowV9)
				}
			}
		})
	}
	workers.Wait()
	d.Abandon()
	if n := d.pendingBytes.Load(); n != 0 {
		t.Errorf("%d octets still counted as waiting", n)
	}
}
