package collector

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
)

// After a restart of the collector the gap to the number it had come to is loss,
// of the time it was down, unless the exporter began anew.
func TestPosition_TellsWhatWasSentMeanwhile(t *testing.T) {
	const day = 86_400_000 // ms
	type step struct {
		t, seq, units uint32
	}
	tests := []struct {
		name  string
		units uint32
		boot  int64 // ns that the exporter was booted later than before
		steps []step
		want  tally
	}{
		{"went on", 1, 0, []step{{day, 80, 1}, {day + 100, 81, 1}}, tally{expected: 32, received: 2, away: 30}},
		{"sent nothing", 1, 0, []step{{60_000, 50, 1}, {60_100, 51, 1}}, tally{expected: 2, received: 2}},
		{"went on, then loss", 1, 0, []step{{60_000, 55, 1}, {60_100, 58, 1}}, tally{expected: 9, received: 2, away: 5}},
		{"went on, first ones swapped", 1, 0, []step{{60_100, 56, 1}, {60_000, 55, 1}, {60_200, 57, 1}}, tally{expected: 8, received: 3, away: 5, late: 1}},
		{"began anew", 1, 30e9, []step{{60_000, 0, 1}, {60_100, 1, 1}}, tally{expected: 2, received: 2}},
		{"began anew and is further", 1, 30e9, []step{{60_000, 90, 1}, {60_100, 91, 1}}, tally{expected: 2, received: 2}},
		{"another beginning", 1, 0, []step{{60_000, 3_000_000_000, 1}}, tally{expected: 1, received: 1}},
	}
	for _, tt := range tests {
		for _, protocol := range []flow.Protocol{flow.NetFlowV5, flow.NetFlowV9, flow.IPFIX, flow.SFlowV5} {
			t.Run(tt.name+"/"+protocol.String(), func(t *testing.T) {
				life := script{protocol: protocol, uptime: 3_600_000, export: 1_700_000_000e9}
				var s sequence
				received := func(ms uint32) int64 { return life.export + int64(ms)*1e6 + 5e6 }
				for i := range uint32(50) {
					r := life.at(i*100, i, 1)
					s.observe(&r, 100)
				}
				at := s.position(received(4900))
				life.uptime -= uint32(tt.boot / 1e6)
				var resumed sequence
				for i, st := range tt.steps {
					r := life.at(st.t, st.seq, st.units)
					if i == 0 {
						resumed = at.resume(&r, received(st.t))
					}
					resumed.observe(&r, 100)
				}
				got, want := resumed.tally(), tt.want
				got.restarts = 0 // that of an exporter without uptime is told by its numbers
				if protocol == flow.IPFIX && tt.name == "began anew and is further" {
					want = tally{expected: 42, received: 2, away: 40} // IPFIX does not say when the exporter began
				}
				if got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		}
	}
}

// The reading of softflowd's numbers, once learned, is not learned anew.
func TestPosition_KeepsTheReadingOfTheNumbers(t *testing.T) {
	var s sequence
	r := flow.Result{Protocol: flow.IPFIX, SequenceUnits: 20, Flows: 20}
	for i := range 10 {
		r.Sequence, r.ExportTime = uint32(i+1)*20, int64(1000+i)*1e9 // counts its own records
		s.observe(&r, 1000)
	}
	at := s.position(1010e9)
	r.Sequence, r.ExportTime = 14*20, 1100e9 // three messages of 20 were missed
	resumed := at.resume(&r, 1100e9)
	resumed.observe(&r, 1000)
	if got, want := resumed.tally(), (tally{expected: 80, received: 20, away: 60}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func openSequences(t *testing.T, path string) *SequenceFile {
	t.Helper()
	f, err := OpenSequences(path, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSequenceFile_DamageIsAsGoodAsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sequences")
	key := func(n byte) streamKey {
		return streamKey{accountKey{[16]byte{15: n}, 7, flow.IPFIX}, 4739, [16]byte{1: n}}
	}
	kept := map[streamKey]position{
		key(1): {received: 1, export: 2, uptime: 3, before: place{4, true}, within: place{5, false}, fitBefore: 6, fitWithin: 7},
		key(2): {received: 8, before: place{9, false}, within: place{10, true}},
	}
	if err := openSequences(t, path).save(kept); err != nil {
		t.Fatal(err)
	}
	if got := openSequences(t, path).positions; !reflect.DeepEqual(got, kept) {
		t.Fatalf("read %+v, want %+v", got, kept)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := [][]byte{append(whole[:len(whole):len(whole)], 0), []byte("another kind of file")}
	for i := range whole {
		flipped := append([]byte{}, whole...)
		flipped[i] ^= 1 << (i % 8)
		damaged = append(damaged, whole[:i], flipped)
	}
	for i, b := range damaged {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := openSequences(t, path); len(got.positions) != 0 {
			t.Fatalf("damage %d: read %+v", i, got.positions)
		}
	}
	f := openSequences(t, path)
	if err := f.save(kept); err != nil {
		t.Fatal(err)
	}
	if got := openSequences(t, path).positions; !reflect.DeepEqual(got, kept) {
		t.Errorf("after damage: read %+v, want %+v", got, kept)
	}
}

// numbered is v5 from an exporter whose clock stands still.
func numbered(sequence uint32, n int) []byte {
	b := v5(sequence, n)
	binary.BigEndian.PutUint32(b[8:], labSeconds)
	return b
}

// handedOver waits until the datagrams are accounted and their rows handed over.
func (r *running) handedOver(datagrams uint64) {
	r.t.Helper()
	done := func() bool {
		r.accounts.mu.Lock()
		defer r.accounts.mu.Unlock()
		for _, acc := range r.accounts.accounts {
			datagrams -= min(acc.datagrams, datagrams)
		}
		for _, s := range r.accounts.streams.m {
			if s.ahead {
				return false
			}
		}
		return datagrams == 0
	}
	want := datagrams
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if datagrams = want; time.Now().After(end) {
			r.t.Fatalf("not all of %d datagrams are handed over: %+v", want, r.Exporters())
		}
	}
}

// What had come but was not durable yet, and what came while no process
// listened, is lost; what was durable is not.
func TestCollector_CountsWhatWasSentWhileItWasDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sequences")
	first := start(t, Config{}, Deps{Log: zerolog.Nop(), Sequences: openSequences(t, path)})
	conn, silent := first.dial(0), first.dial(0)
	for i := range uint32(10) {
		write(t, conn, numbered(i*3, 3))
	}
	write(t, silent, numbered(700, 1))
	first.handedOver(11)
	first.Mark()()
	for i := range uint32(4) {
		write(t, conn, numbered(30+i*3, 3)) // read, but never said to be durable
	}
	first.handedOver(15)
	port := first.Addrs()[0].String()
	first.stop() // a kill would do: nothing is saved here

	second := start(t, Config{Listen: []string{port}}, Deps{Log: zerolog.Nop(), Sequences: openSequences(t, path)})
	write(t, conn, numbered(100, 3))
	second.handedOver(1)
	e := second.Exporters()[0]
	if e.LostAway != 70 || e.Lost != 70 || e.Expected != 73 || e.Restarts != 0 {
		t.Errorf("%d lost, %d of them while down, %d expected, %d restarts; want 70, 70, 73, 0", e.Lost, e.LostAway, e.Expected, e.Restarts)
	}
	second.Mark()()
	second.stop()

	// One that was not heard during the second life has its place in the third.
	third := start(t, Config{Listen: []string{port}}, Deps{Log: zerolog.Nop(), Sequences: openSequences(t, path)})
	write(t, silent, numbered(705, 1))
	write(t, conn, numbered(103, 3))
	third.handedOver(2)
	if e := third.Exporters()[0]; e.LostAway != 4 || e.Lost != 4 {
		t.Errorf("third life: %d lost, %d of them while down; want 4", e.Lost, e.LostAway)
	}
}

// A replay neither has a place in the numbers that exporters send now nor takes one.
func TestCollector_ReplayLeavesPositionsAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sequences")
	first := start(t, Config{}, Deps{Log: zerolog.Nop(), Sequences: openSequences(t, path)})
	write(t, first.dial(0), numbered(5, 1))
	first.handedOver(1)
	first.Mark()()
	first.stop()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := newCollector(t, Config{}, Deps{Log: zerolog.Nop(), Sequences: openSequences(t, path)})
	o := observation{datagram: flow.Datagram{Exporter: [16]byte{15: 1}}, streams: &streams{max: 1, m: map[streamKey]*stream{}}}
	c.decode(c.netflow, new(flow.Batch), numbered(0, 1), &o)
	if ahead := c.accounts.add([]observation{o}, nil); len(ahead) != 0 {
		t.Error("a stream of a file is to be saved")
	}
	c.Mark()()
	if after, err := os.ReadFile(path); err != nil || fmt.Sprintf("%x", after) != fmt.Sprintf("%x", before) {
		t.Errorf("the file was changed (%v)", err)
	}
}
