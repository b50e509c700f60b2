package collector

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
)

// What docs/collector.md states: templates and options take 256 MiB at most,
// with the bookkeeping of Go's heap a quarter more, their file 129 MiB.
const (
	floodMemory = 256 << 20 / 4 * 5
	floodFile   = 129 << 20
)

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// flooded is a Collector fed without sockets: a thousand addresses are more
// than a test can send from.
type flooded struct {
	*Collector
	t     *testing.T
	batch flow.Batch
	now   int64
	file  *TemplateFile
	stop  func()
}

func newFlooded(t *testing.T, path string) *flooded {
	t.Helper()
	file, err := OpenTemplates(path, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- file.Run(ctx) }()
	f := &flooded{t: t, now: labNow, file: file, Collector: newCollector(t, Config{}, Deps{Log: zerolog.Nop(), Templates: file})}
	f.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	f.netflow.Restore()
	return f
}

func (f *flooded) send(from netip.AddrPort, payload []byte) flow.Result {
	f.now += int64(time.Microsecond)
	o := observation{datagram: flow.Datagram{Exporter: from.Addr().As16(), Port: from.Port(), Received: f.now}}
	f.batch.Reset()
	f.decode(f.netflow, &f.batch, payload, &o)
	f.accounts.add([]observation{o}, nil)
	return o.result
}

// decodes wants the flow of the exporter decoded, at its rate from options.
func (f *flooded) decodes(when string, from netip.AddrPort) {
	f.t.Helper()
	r := f.send(from, v9Of(1, 0, setOf(256, usualRecord(1, 100))))
	if r.Flows != 1 || f.batch.Bytes[0] != 100 || f.batch.SamplingRate[0] != 64 {
		f.t.Errorf("%s, %s: %d flows, rates %v, not decoded %v; want one flow, sampled 1 in 64", when, from, r.Flows, f.batch.SamplingRate, r.Undecodable)
	}
}

// A million template ids from a thousand forged exporters: memory and disk stay
// in the bounds stated, and neither the exporters known before nor those that
// come during the flood, and after it, lose a template, a rate or a flow.
func TestCollector_TemplateFloodHarmsNoRealExporter(t *testing.T) {
	forgers, templates := 1000, 1000
	if testing.Short() {
		forgers = 200
	}
	announce := v9Of(0, 0, setOf(0, templateOf(256, usual...)),
		setOf(1, uint16(300), uint16(4), uint16(4), uint16(1), uint16(4), uint16(34), uint16(4)), setOf(300, uint32(0), uint32(64)))
	real := func(n byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 2055) }
	path := filepath.Join(t.TempDir(), "templates")
	before := heap()
	f := newFlooded(t, path)
	var known []netip.AddrPort
	join := func() {
		known = append(known, real(byte(len(known))))
		f.send(known[len(known)-1], announce)
		f.decodes("at once", known[len(known)-1])
	}
	for range 3 {
		join()
	}
	for i := range forgers {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), uint16(i))
		var records []byte
		for id := range templates {
			records = append(records, templateOf(uint16(256+id), append(usual, 56, 6, 80, 6, 58, 2)...)...)
			if len(records) > 1300 || id == templates-1 {
				f.send(from, ipfixOf(0, uint32(i), setOf(2, records)))
				records = records[:0]
			}
		}
		if i%(forgers/10) == 0 {
			join()
		}
	}
	join()
	for _, e := range known {
		f.decodes("after the flood", e)
	}
	f.stop()
	grown := heap() - before
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d templates: heap grew by %d MiB, the file to %d MiB, %d exporters accounted", forgers*templates, grown>>20, info.Size()>>20, len(f.accounts.accounts))
	if grown > floodMemory {
		t.Errorf("the heap grew by %d octets, want at most %d", grown, floodMemory)
	}
	if info.Size() > floodFile || f.file.refused > 0 {
		t.Errorf("the file of templates has %d octets, want at most %d; %d records refused, want none", info.Size(), floodFile, f.file.refused)
	}
	if n := len(f.accounts.accounts); n > f.config.MaxExporters+1 {
		t.Errorf("%d exporters accounted, want at most %d", n, f.config.MaxExporters)
	}
	runtime.KeepAlive(f.netflow)

	again := newFlooded(t, path)
	defer again.stop()
	again.now += int64(time.Hour)
	for _, e := range append(known, real(200)) {
		if e == real(200) {
			again.send(e, announce) // what the forgers left does not keep a newcomer out
		}
		again.decodes("after a restart", e)
	}
}
