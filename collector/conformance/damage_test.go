package conformance

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"tidemark/collector/detect"
	"tidemark/collector/flow"
	"tidemark/collector/netflow"
	"tidemark/collector/sflow"
)

// damaged decodes what is left of real datagrams, after the templates they need.
type damaged struct {
	t       *testing.T
	netflow *netflow.Decoder
	sflow   *sflow.Decoder
	batch   flow.Batch
	tried   int
}

const damagedState = 8 << 20 // octets of templates, options and waiting sets

func (x *damaged) try(name string, d datagram, payload []byte) {
	x.tried++
	x.batch.Reset()
	dg := flow.Datagram{Exporter: d.from.Addr().As16(), Port: d.from.Port(), Received: d.at.UnixNano()}
	var r flow.Result
	if p, _ := detect.Protocol(payload); p == flow.SFlowV5 {
		r = x.sflow.Decode(&x.batch, dg, payload)
	} else {
		r = x.netflow.Decode(&x.batch, dg, payload)
	}
	if r.Undecodable[flow.ReasonPanic] != 0 || x.batch.Len() != r.Flows {
		x.t.Fatalf("%s: %d rows, Result %+v for %x", name, x.batch.Len(), r, payload)
	}
	// A record has an octet at least, and what waited comes in bounded portions.
	if r.Flows > 2*len(payload)+1<<17 {
		x.t.Fatalf("%s: %d rows of %d octets: %x", name, r.Flows, len(payload), payload)
	}
}

// Every real datagram, cut at every octet and with every bit flipped: nothing
// panics, rows and account agree, and memory stays in its bounds. Without
// TIDEMARK_SOAK=1 (make crash), a sample: of a capture the first 16 datagrams of
// each length, and of those every 7th octet and every 29th bit.
func TestCaptures_EveryPrefixAndBitFlipSurvives(t *testing.T) {
	dir := captures(t)
	octets, bits, each := 7, 29, 16
	if os.Getenv("TIDEMARK_SOAK") == "1" {
		octets, bits, each = 1, 1, 1<<30
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := &damaged{t: t, sflow: sflow.New(sflow.Config{})}
	for _, m := range manifest(t, filepath.Join(dir, "exports", "MANIFEST.tsv")) {
		name := m["capture"]
		x.netflow = netflow.New(netflow.Config{MaxPendingBytes: damagedState, MaxStateBytes: damagedState})
		lengths := map[int]int{}
		for i, d := range datagrams(t, filepath.Join(dir, "exports", name)) {
			x.try(name, d, d.payload)
			if lengths[len(d.payload)]++; lengths[len(d.payload)] > each {
				continue
			}
			for n := i % octets; n < len(d.payload); n += octets {
				x.try(name, d, d.payload[:n])
			}
			for bit := i % bits; bit < len(d.payload)*8; bit += bits {
				d.payload[bit/8] ^= 1 << (bit % 8)
				x.try(name, d, d.payload)
				d.payload[bit/8] ^= 1 << (bit % 8)
			}
		}
	}
	x.batch = flow.Batch{}
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d damaged datagrams decoded, heap grew by %d KiB", x.tried, grown>>10)
	if grown > 4*damagedState {
		t.Errorf("the heap grew by %d octets, want at most %d", grown, 4*damagedState)
	}
	runtime.KeepAlive(x.netflow)
}
