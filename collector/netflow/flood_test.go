package netflow

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"tidemark/collector/flow"
)

// A million template ids from a thousand forged exporters: memory stays within
// the budget, and an exporter that was there before goes on as if nothing was.
func TestDecoder_TemplateFloodStaysInTheBudget(t *testing.T) {
	exporters, templates := 1000, 1000
	if testing.Short() {
		exporters = 100
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	d := New(Config{})
	run(t, d, router, ipfix(1, set(2, plain)))
	var refused, learned uint32
	var slowest time.Duration
	for e := range exporters {
		dg := flow.Datagram{Exporter: netip.AddrFrom4([4]byte{198, 51, byte(e >> 8), byte(e)}).As16(), Port: uint16(e), Received: router.Received + int64(e)}
		var records []byte
		var b flow.Batch
		for i := range templates {
			records = append(records, tmpl(uint16(256+i), softflowd...)...)
			if len(records) > 1300 || i == templates-1 {
				began := time.Now()
				r := d.Decode(&b, dg, ipfix(uint32(e), set(2, records)))
				slowest = max(slowest, time.Since(began))
				refused, learned = refused+r.Undecodable[flow.ReasonLimit], learned+uint32(r.Templates)-r.Undecodable[flow.ReasonLimit]
				records = records[:0]
			}
		}
	}
	grown := int64(heap() - before)
	t.Logf("%d templates learned, %d refused, heap grew by %d MiB, slowest datagram %s", learned, refused, grown>>20, slowest)
	if limit := d.state.limit; grown > limit+limit/4 {
		t.Errorf("heap grew by %d octets, want at most a quarter more than the budget of %d", grown, limit)
	}
	if int(learned+refused) != exporters*templates {
		t.Errorf("%d templates learned or refused, want %d", learned+refused, exporters*templates)
	}
	_, r := run(t, d, router, ipfix(1, set(256, plainRecord(1))))
	want(t, "flows of the exporter that was there before", r.Flows, 1)
	runtime.KeepAlive(d)
}
