package storage_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/collector/flow"
	"tidemark/storage"
	"tidemark/storage/storagetest"
)

// randomBatch makes rows records of one day with every column filled.
func randomBatch(seed uint64, rows int) *flow.Batch {
	r := rand.New(rand.NewPCG(seed, 1))
	protocols := []flow.Protocol{flow.NetFlowV1, flow.NetFlowV5, flow.NetFlowV7, flow.NetFlowV9, flow.IPFIX, flow.SFlowV5}
	addr := func() (a [16]byte) {
		binary.LittleEndian.PutUint64(a[:], r.Uint64())
		binary.LittleEndian.PutUint64(a[8:], r.Uint64())
		return a
	}
	const day = 1_780_000_000_000_000_000
	b := new(flow.Batch)
	for range rows {
		i := b.NextRow()
		b.Protocol[i] = protocols[r.IntN(len(protocols))]
		b.Transport[i] = flow.Transport(r.IntN(5))
		b.TimeReceived[i] = day + r.Int64N(1e9)
		b.TimeFlowStart[i] = r.Int64N(9e18)
		b.TimeFlowEnd[i] = -r.Int64N(9e18)
		b.SamplerAddress[i], b.SrcAddr[i], b.DstAddr[i] = addr(), addr(), addr()
		b.ObservationDomain[i], b.SequenceNum[i], b.SamplingRate[i] = r.Uint32(), r.Uint32(), r.Uint32()
		b.InIf[i], b.OutIf[i], b.SrcAS[i], b.DstAS[i] = r.Uint32(), r.Uint32(), r.Uint32(), r.Uint32()
		for _, c := range [][]uint16{b.SrcPort, b.DstPort, b.TCPFlags, b.SrcVLAN, b.DstVLAN, b.Presence, b.Quality, b.ServicePort} {
			c[i] = uint16(r.Uint32())
		}
		for _, c := range [][]uint8{b.Proto, b.Direction, b.TOS, b.EndReason, b.FirewallEvent, b.NATEvent, b.InitiatorConfidence} {
			c[i] = uint8(r.Uint32())
		}
		for _, c := range [][]uint64{b.Bytes, b.Packets, b.SrcMAC, b.DstMAC, b.SrcDevice, b.DstDevice, b.Conversation} {
			c[i] = r.Uint64()
		}
		b.EventStart[i] = b.TimeReceived[i] - r.Int64N(600e9)
		b.EventEnd[i] = b.EventStart[i] + r.Int64N(300e9)
		b.SrcIdentity[i], b.DstIdentity[i] = flow.Identity(r.IntN(4)), flow.Identity(r.IntN(4))
		b.Initiator[i], b.Scope[i] = flow.Initiator(r.IntN(3)), flow.Scope(r.IntN(5))
		for range r.IntN(4) {
			value := make([]byte, r.IntN(5)*r.IntN(60))
			for j := range value {
				value[j] = byte(r.Uint32())
			}
			b.Extend(flow.ExtensionKey(uint32(r.IntN(3)), uint16(r.IntN(5))), value)
		}
		b.EndRow()
	}
	return b
}

// recordOf returns b without what is not read back.
func recordOf(b *flow.Batch) *flow.Batch {
	var c flow.Batch
	c.Append(b, 0, b.Len())
	for _, s := range [][]int64{c.EventStart, c.EventEnd, c.ExportTime} {
		clear(s)
	}
	for _, s := range [][]uint64{c.SrcDevice, c.DstDevice, c.Conversation} {
		clear(s)
	}
	clear(c.SrcIdentity)
	clear(c.DstIdentity)
	clear(c.Initiator)
	clear(c.InitiatorConfidence)
	clear(c.Scope)
	clear(c.ServicePort)
	return &c
}

func requireEqual(t *testing.T, got, want *flow.Batch) {
	t.Helper()
	g, w := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
	for i := range g.NumField() {
		f := g.Type().Field(i)
		if !f.IsExported() || f.Name == "Ext" {
			continue
		}
		if !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			t.Errorf("column %s differs", f.Name)
		}
	}
	for i := range w.FieldByName("Ext").NumField() {
		f := reflect.TypeOf(got.Ext).Field(i)
		a, b := reflect.ValueOf(got.Ext).Field(i), reflect.ValueOf(want.Ext).Field(i)
		if a.Len() != b.Len() || a.Len() > 0 && !reflect.DeepEqual(a.Interface(), b.Interface()) {
			t.Errorf("extensions.%s differs: got %d items, want %d", f.Name, a.Len(), b.Len())
		}
	}
}

func TestInsertFlows_ReadsBackEveryRecordColumn(t *testing.T) {
	db := openTables(t)
	const log = 0xfedcba9876543210
	want := randomBatch(1, 100_000)
	for range 3 { // a repeat changes nothing
		if err := db.InsertFlows(t.Context(), log, "home", 7, want); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.InsertFlows(t.Context(), log, "home", 8, randomBatch(2, 10)); err != nil {
		t.Fatal(err)
	}
	var got flow.Batch
	if err := db.ReadFlows(t.Context(), log, 7, &got); err != nil {
		t.Fatal(err)
	}
	requireEqual(t, &got, recordOf(want))
	requireHolds(t, db, log, 7, want, true)
	want.Packets[99_998] ^= 1 << 63
	requireHolds(t, db, log, 7, want, false)
	var sites, names string
	var devices uint64
	err := db.Conn().QueryRow(t.Context(), `SELECT any(site), min(name), countIf(src_device = 0) FROM flows WHERE batch_index = 7`).Scan(&sites, &names, &devices)
	if err != nil {
		t.Fatal(err)
	}
	if sites != "home" || names != fmt.Sprintf("%016x-7-0", uint64(log)) || devices != 0 {
		t.Errorf("got site %q, first name %q, %d rows without device", sites, names, devices)
	}
}

func requireHolds(t *testing.T, db *storage.DB, log, index uint64, b *flow.Batch, want bool) {
	t.Helper()
	same, err := db.HoldsFlows(t.Context(), storage.Flows, log, index, storage.AppendFlowsBlock(nil, log, "home", index, b))
	if err != nil || same != want {
		t.Errorf("batch %d is the same: %v, %v, want %v", index, same, err, want)
	}
}

func TestReadFlows_MissingAndDoubledRowsAreErrors(t *testing.T) {
	db := openTables(t)
	var got flow.Batch
	if err := db.ReadFlows(t.Context(), 1, 1, &got); err != nil || got.Len() != 0 {
		t.Fatalf("no such batch: got %d rows, %v", got.Len(), err)
	}
	for index := range uint64(4) {
		if err := db.InsertFlows(t.Context(), 1, "home", index, randomBatch(index, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	for index, statement := range []string{
		"ALTER TABLE flows DELETE WHERE batch_index = 0 AND pos = 500 SETTINGS mutations_sync = 2",
		"ALTER TABLE flows DELETE WHERE batch_index = 1 AND pos = 0 SETTINGS mutations_sync = 2",
		"INSERT INTO flows SELECT * FROM flows WHERE batch_index = 2 AND pos = 999",
	} {
		if err := db.Conn().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if err := db.ReadFlows(t.Context(), 1, uint64(index), &got); err == nil {
			t.Errorf("after %s: no error", statement)
		}
		requireHolds(t, db, 1, uint64(index), randomBatch(uint64(index), 1000), false)
	}
	if err := db.ReadFlows(t.Context(), 1, 3, &got); err != nil || got.Len() != 1000 {
		t.Errorf("untouched batch: got %d rows, %v", got.Len(), err)
	}
	requireHolds(t, db, 1, 3, randomBatch(3, 1000), true)
}

func TestReadFlowsFrom_QuarantineIsATableOfItsOwn(t *testing.T) {
	db := openTables(t)
	want := randomBatch(1, 100)
	block := storage.AppendFlowsBlock(nil, 1, "home", 5, want)
	if err := db.InsertBlock(t.Context(), string(storage.Quarantine), storage.FlowsToken(1, 5), block); err != nil {
		t.Fatal(err)
	}
	var got flow.Batch
	if err := db.ReadFlowsFrom(t.Context(), storage.Quarantine, 1, 5, &got); err != nil {
		t.Fatal(err)
	}
	requireEqual(t, &got, recordOf(want))
	if err := db.ReadFlows(t.Context(), 1, 5, &got); err != nil || got.Len() != 0 {
		t.Errorf("flows: got %d rows, %v, want none", got.Len(), err)
	}
}

func BenchmarkAppendFlowsBlock(b *testing.B) {
	batch := randomBatch(1, 262_144)
	block := appendBlock(nil, batch)
	before := cpuTime(b)
	b.ResetTimer()
	for b.Loop() {
		block = appendBlock(block[:0], batch)
	}
	reportRows(b, batch.Len(), before)
	b.ReportMetric(float64(len(block))/float64(batch.Len()), "octets/row")
}

// BenchmarkSpoolAppend makes a block durable.
func BenchmarkSpoolAppend(b *testing.B) {
	s, err := storage.OpenSpool(filepath.Join(b.TempDir(), "spool"))
	if err != nil {
		b.Fatal(err)
	}
	batch := randomBatch(1, 262_144)
	block := appendBlock(nil, batch)
	before := cpuTime(b)
	b.ResetTimer()
	for b.Loop() {
		if err := s.Append(1, 1, nil, block); err != nil {
			b.Fatal(err)
		}
		if err := s.Remove(1); err != nil {
			b.Fatal(err)
		}
	}
	reportRows(b, batch.Len(), before)
}

func BenchmarkInsertFlows(b *testing.B) {
	db := openTables(b)
	batch := randomBatch(1, 262_144)
	index := uint64(0)
	before := cpuTime(b)
	b.ResetTimer()
	for b.Loop() {
		index++
		if err := db.InsertFlows(b.Context(), 1, "home", index, batch); err != nil {
			b.Fatal(err)
		}
	}
	reportRows(b, batch.Len(), before)
}

func BenchmarkReadFlows(b *testing.B) {
	db := openTables(b)
	batch := randomBatch(1, 1_000_000)
	if err := db.InsertFlows(b.Context(), 1, "home", 1, batch); err != nil {
		b.Fatal(err)
	}
	var got flow.Batch
	before := cpuTime(b)
	b.ResetTimer()
	for b.Loop() {
		if err := db.ReadFlows(b.Context(), 1, 1, &got); err != nil {
			b.Fatal(err)
		}
	}
	reportRows(b, batch.Len(), before)
}

// BenchmarkHoldsFlows is the read-back of a batch that is still in memory.
func BenchmarkHoldsFlows(b *testing.B) {
	db := openTables(b)
	batch := randomBatch(1, 1_000_000)
	if err := db.InsertFlows(b.Context(), 1, "home", 1, batch); err != nil {
		b.Fatal(err)
	}
	block := storage.AppendFlowsBlock(nil, 1, "home", 1, batch)
	before := cpuTime(b)
	b.ResetTimer()
	for b.Loop() {
		if same, err := db.HoldsFlows(b.Context(), storage.Flows, 1, 1, block); err != nil || !same {
			b.Fatal(same, err)
		}
	}
	reportRows(b, batch.Len(), before)
}

// reportRows reports rows a second, and the CPU time of this process, engine
// included, which a busy machine disturbs less.
func reportRows(b *testing.B, rows int, before time.Duration) {
	total := float64(b.N * rows)
	b.ReportMetric(total/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric((cpuTime(b)-before).Seconds()/total*1e6, "cpu-s/Mrow")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// openTables opens a database with the tables of this package only.
func openTables(t testing.TB) *storage.DB {
	t.Helper()
	db := storagetest.OpenEmpty(t)
	if err := storage.MigrateTo(t.Context(), db, 9); err != nil {
		t.Fatal(err)
	}
	return db
}

func appendBlock(dst []byte, b *flow.Batch) []byte {
	return storage.AppendFlowsBlock(dst, 1, "home", 1, b)
}
