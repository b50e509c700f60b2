package anchor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/anchor/merkle"
)

// hashedColumns are the columns of flows from the first of the record to the
// last, with their types, as the database knows them.
func hashedColumns(t *testing.T, s *recordedSite) (names, types []string) {
	t.Helper()
	rows, err := s.db.Conn().Query(t.Context(), "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'flows' ORDER BY position")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	inside := false
	for rows.Next() {
		var name, kind string
		if err := rows.Scan(&name, &kind); err != nil {
			t.Fatal(err)
		}
		inside = inside || name == "type"
		if inside {
			names, types = append(names, name), append(types, kind)
		}
		if name == "extensions" {
			break
		}
	}
	if len(names) != 33 {
		t.Fatalf("%d columns from type to extensions, want 33: %q", len(names), names)
	}
	return names, types
}

// another is SQL for a value of the column that differs from the one it has.
func another(t *testing.T, name, kind string) string {
	switch {
	case name == "type":
		return "'netflow_v9'"
	case name == "transport":
		return "'tcp'"
	case strings.HasPrefix(kind, "UInt"):
		return fmt.Sprintf("bitXor(%s, 1)", name)
	case strings.HasPrefix(kind, "DateTime64"):
		return fmt.Sprintf("addNanoseconds(%s, 1)", name)
	case kind == "IPv6":
		return "toIPv6('2001:db8::bad')"
	case strings.HasPrefix(kind, "Map"):
		return fmt.Sprintf("mapConcat(%s, map(281474976710655::UInt64, ['x']))", name)
	}
	t.Fatalf("column %s %s: no other value known", name, kind)
	return ""
}

// replaceRow writes a row anew with other values, which reaches columns that
// UPDATE may not change, and removes the old one.
func (s *recordedSite) replaceRow(batch, pos int, replace string) {
	s.t.Helper()
	where := fmt.Sprintf("log = {log} AND batch_index = %d AND pos = %d", batch, pos)
	s.exec("CREATE OR REPLACE TABLE forged AS flows ENGINE = MergeTree ORDER BY (log, batch_index, pos)")
	s.exec("INSERT INTO forged SELECT * REPLACE (%s) FROM (SELECT * FROM flows WHERE %s)", replace, where)
	s.exec("ALTER TABLE flows DELETE WHERE %s SETTINGS mutations_sync = 2", where)
	s.exec("INSERT INTO flows SELECT * FROM forged SETTINGS insert_deduplicate = 0")
}

// everyHashedColumnMatters alters every column, each in a row of its own.
func everyHashedColumnMatters(t *testing.T) {
	s := newSite(t)
	names, types := hashedColumns(t, s)
	restore := s.keep()
	var changes []string
	want := map[string]int{}
	for i, name := range names {
		pos := 19 * i // in all three blocks
		value := another(t, name, types[i])
		want[name] = pos
		if name == "time_received_ns" { // the partition key: UPDATE refuses it
			s.replaceRow(bigBatch, pos, value+" AS "+name)
			continue
		}
		changes = append(changes, fmt.Sprintf("%s = if(pos = %d, %s, %s)", name, pos, value, name))
	}
	s.exec("ALTER TABLE flows UPDATE %s WHERE log = {log} AND batch_index = %d SETTINGS mutations_sync = 2", strings.Join(changes, ", "), bigBatch)
	r := s.verify()
	var rows []uint32
	for _, f := range r.Faults {
		if f.Kind != RowAltered || *f.Batch != bigBatch {
			t.Errorf("a fault where nothing was altered: %+v", f)
		}
		rows = append(rows, f.Rows...)
	}
	more := uint64(0)
	for _, f := range r.Faults {
		more += f.MoreRows
	}
	if r.ExitCode() != ExitFailed || uint64(len(rows))+more != uint64(len(names)) {
		t.Errorf("%d rows are named and %d counted, want %d:\n%s", len(rows), more, len(names), text(r))
	}
	for _, pos := range rows {
		if pos%19 != 0 || int(pos) >= 19*len(names) {
			t.Errorf("row %d is named, and was not altered", pos)
		}
	}
	restore()
	name := names[len(names)-1]
	s.exec("ALTER TABLE flows UPDATE %s = %s WHERE log = {log} AND batch_index = %d AND pos = 300 SETTINGS mutations_sync = 2", name, another(t, name, types[len(types)-1]), bigBatch)
	r = s.verify()
	if f := r.has(RowAltered, bigBatch); f == nil || len(r.Faults) != 1 {
		t.Errorf("not found:\n%s", text(r))
	} else {
		s.requireRow(f, bigBatch, 300)
		s.requireContrast(f, bigBatch)
	}
	restore()
	s.clean("after putting every row back")
}

// requireContrast fails the test unless what f says was sealed leads to the root
// of the header, and what it says is there does not.
func (s *recordedSite) requireContrast(f *Fault, batch uint64) {
	s.t.Helper()
	h, err := s.ledger.Reader().Header(batch)
	if err != nil {
		s.t.Fatal(err)
	}
	var sealed, now merkle.Hash
	if f.Proof == nil || parseHex(sealed[:], f.Proof.Sealed, "") != nil || parseHex(now[:], f.Proof.Found, "") != nil {
		s.t.Fatalf("no proof of old and new: %+v", f.Proof)
	}
	path, err := parseHashes(f.Proof.Path)
	if err != nil {
		s.t.Fatal(err)
	}
	block, blocks := uint64(f.Proof.First/merkle.Block), merkle.NumBlocks(h.Rows)
	if err := merkle.VerifyInclusion(block, blocks, sealed, path, h.RowRoot); err != nil {
		s.t.Errorf("what was sealed does not lead to the header: %v", err)
	}
	if merkle.VerifyInclusion(block, blocks, now, path, h.RowRoot) == nil || f.Proof.SealedTag == "" || f.Proof.FoundLeaf == "" {
		s.t.Errorf("what is there leads to the header: %+v", f.Proof)
	}
}

// requireRow fails the test unless f names the very row, in JSON and in words.
func (s *recordedSite) requireRow(f *Fault, batch, pos int) {
	s.t.Helper()
	name := fmt.Sprintf("%016x-%d-%d", s.log(), batch, pos)
	if f.Flow != name || !slices.Equal(f.Rows, []uint32{uint32(pos)}) || *f.First != uint32(pos) || *f.Last != uint32(pos) {
		s.t.Errorf("names %+v, want row %d", f, pos)
	}
	if want := fmt.Sprintf("batch %d, row %d (name %s)", batch, pos, name); f.place() != want {
		s.t.Errorf("says %q, want %q", f.place(), want)
	}
}

// Changes that an encoder might not see.
func changesBetweenTheColumns(t *testing.T) {
	s := newSite(t)
	restore := s.keep()
	const pos = 301 // has extensions: 0/15 once, 6871/40 twice
	where := fmt.Sprintf("WHERE log = {log} AND batch_index = %d AND pos = %d SETTINGS mutations_sync = 2", bigBatch, pos)
	for name, change := range map[string]string{
		"extension removed":          "extensions = mapFromArrays([15::UInt64], [extensions[15]])",
		"extension value":            "extensions = mapUpdate(extensions, map(15::UInt64, ['evil']))",
		"extension without value":    "extensions = mapConcat(extensions, map(281474976710655::UInt64, []::Array(String)))",
		"extensions out of order":    "extensions = mapFromArrays(arrayReverse(mapKeys(extensions)), arrayReverse(mapValues(extensions)))",
		"extension values swapped":   "extensions = mapUpdate(extensions, map(6871::UInt64 * 65536 + 40, arrayReverse(extensions[6871::UInt64 * 65536 + 40])))",
		"extension key over 48 bits": "extensions = mapConcat(extensions, map(281474976710656::UInt64, ['x']))",
		"extension twice":            "extensions = mapFromArrays(arrayConcat(mapKeys(extensions), [18446744073709551615::UInt64]), arrayConcat(mapValues(extensions), [['x']]))",
		"all extensions removed":     "extensions = map()",
		"source MAC beyond 48 bits":  "src_mac = bitOr(src_mac, bitShiftLeft(1::UInt64, 48))",
		"MACs shifted into another":  "src_mac = bitShiftRight(src_mac, 8), dst_mac = bitXor(dst_mac, 1)",
		"addresses swapped":          "src_addr = dst_addr, dst_addr = src_addr",
		"ports swapped":              "src_port = dst_port, dst_port = src_port",
		"time far away":              "time_flow_start_ns = toDateTime64('1970-01-01 00:00:00', 9, 'UTC')",
	} {
		t.Run(name, func(t *testing.T) {
			s.exec("ALTER TABLE flows UPDATE %s %s", change, where)
			r := s.verify()
			f := r.has(RowAltered, bigBatch)
			if f == nil || r.ExitCode() != ExitFailed {
				t.Fatalf("not found:\n%s", text(r))
			}
			s.requireRow(f, bigBatch, pos)
			restore()
		})
	}
	s.clean("after putting every row back")
}

func rowsDeletedInsertedSwappedDuplicated(t *testing.T) {
	s := newSite(t)
	restore := s.keep()
	del := func(where string, args ...any) {
		s.exec("ALTER TABLE flows DELETE WHERE log = {log} AND "+where+" SETTINGS mutations_sync = 2", args...)
	}
	copyRow := func(from string, replace string) {
		s.exec("INSERT INTO flows SELECT * REPLACE (%s) FROM (SELECT * FROM flows WHERE log = {log} AND %s) SETTINGS insert_deduplicate = 0", replace, from)
	}
	swap := func(i, j int) {
		s.replaceRow(bigBatch, i, "4000000000::UInt32 AS pos")
		s.replaceRow(bigBatch, j, fmt.Sprintf("%d::UInt32 AS pos", i))
		s.replaceRow(bigBatch, 4000000000, fmt.Sprintf("%d::UInt32 AS pos", j))
	}
	swapBatches := func() {
		s.replaceRow(1, 10, "99::UInt64 AS batch_index")
		s.replaceRow(3, 10, "1::UInt64 AS batch_index")
		s.replaceRow(99, 10, "3::UInt64 AS batch_index")
	}
	moveUp := func() { // few rows: one that is altered keeps its tag once in 65,536 times
		s.exec("CREATE OR REPLACE TABLE forged AS flows ENGINE = MergeTree ORDER BY (log, batch_index, pos)")
		s.exec("INSERT INTO forged SELECT * REPLACE ((pos - 1)::UInt32 AS pos) FROM (SELECT * FROM flows WHERE log = {log} AND batch_index = 1 AND pos > 690)")
		del("batch_index = 1 AND pos >= 690")
		s.exec("INSERT INTO flows SELECT * FROM forged SETTINGS insert_deduplicate = 0")
	}
	for _, c := range []struct {
		name   string
		change func()
		kind   Kind
		batch  int
		rows   string // the rows named and how many more; "": none
	}{
		{"a row deleted", func() { del("batch_index = 1 AND pos = 17") }, RowsMissing, bigBatch, "[17] 0"},
		{"the last row deleted", func() { del("batch_index = 1 AND pos = 699") }, RowsMissing, bigBatch, "[699] 0"},
		{"the only row deleted", func() { del("batch_index = 5") }, BatchMissing, oneBatch, ""},
		{"every second row deleted", func() { del("batch_index = 1 AND pos %% 2 = 0") }, RowsMissing, bigBatch, "[0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30 32 34 36 38] 330"},
		{"a row doubled", func() { copyRow("batch_index = 1 AND pos = 5", "pos AS pos") }, RowsAdded, bigBatch, "[5] 0"},
		{"a row appended", func() { copyRow("batch_index = 1 AND pos = 5", "700::UInt32 AS pos") }, RowsAdded, bigBatch, "[700] 0"},
		{"a row put over another", func() { s.replaceRow(1, 600, "599::UInt32 AS pos") }, RowsAdded, bigBatch, "[599] 0"},
		{"two rows swapped", func() { swap(10, 20) }, RowAltered, bigBatch, "[10 20] 0"},
		{"two rows of two blocks swapped", func() { swap(10, 600) }, RowAltered, bigBatch, "[10 600] 0"},
		{"rows swapped between batches", swapBatches, RowAltered, nextBatch, "[10] 0"},
		{"rows swapped between batches, the other", swapBatches, RowAltered, bigBatch, "[10] 0"},
		{"a row deleted and the rest moved up", moveUp, RowsMissing, bigBatch, "[699] 0"},
		{"a row deleted and the rest moved up, the rest", moveUp, RowAltered, bigBatch, "[690 691 692 693 694 695 696 697 698] 0"},
		{"a row deleted and another altered", func() {
			del("batch_index = 1 AND pos = 17")
			s.exec("ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE log = {log} AND batch_index = 1 AND pos IN (19, 650) SETTINGS mutations_sync = 2")
		}, RowAltered, bigBatch, "[19 650] 0"},
		{"a row doubled, one of the two altered", func() {
			copyRow("batch_index = 1 AND pos = 5", "pos AS pos, bytes + 1 AS bytes")
		}, RowsAdded, bigBatch, "[5] 0"},
		{"rows moved to another batch", func() { s.replaceRow(1, 699, "3::UInt64 AS batch_index, 300::UInt32 AS pos") }, RowsAdded, nextBatch, "[300] 0"},
		{"rows moved to another log", func() { s.replaceRow(1, 30, "1::UInt64 AS log") }, RowsMissing, bigBatch, "[30] 0"},
		{"a batch doubled under a free number", func() { copyRow("batch_index = 5", "6000::UInt64 AS batch_index") }, RowsAdded, 6000, ""},
		{"a batch under the number of an empty one", func() { copyRow("batch_index = 5", "2::UInt64 AS batch_index") }, RowsAdded, emptyBatch, ""},
		{"a batch doubled in the quarantine", func() {
			s.exec("INSERT INTO flows_quarantine SELECT * FROM flows WHERE log = {log} AND batch_index = 6")
		}, RowsAdded, fullBatch, "[0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19] 236"},
		{"flows in a batch of events", func() { copyRow("batch_index = 5", "4::UInt64 AS batch_index") }, RowsAdded, eventBatch, ""},
		{"the rows of a batch removed", func() { del("batch_index = 3") }, BatchMissing, nextBatch, ""},
		{"the partition dropped", func() {
			s.exec("ALTER TABLE flows DROP PARTITION ID '%s'", midday(time.Now()).UTC().Format("20060102"))
		}, BatchMissing, bigBatch, ""},
		{"the table emptied", func() { s.exec("TRUNCATE TABLE flows") }, BatchMissing, fullBatch, ""},
		{"the site of a row", func() {
			s.exec("ALTER TABLE flows UPDATE site = 'elsewhere' WHERE log = {log} AND batch_index = 1 AND pos = 3 SETTINGS mutations_sync = 2")
		}, SiteAltered, bigBatch, ""},
		{"an event altered", func() {
			s.exec("ALTER TABLE events UPDATE body = replaceOne(body, 'camera-1', 'camera-2') WHERE log = {log} AND batch_index = 4 SETTINGS mutations_sync = 2")
		}, EventAltered, eventBatch, "[0] 0"},
		{"an event deleted", func() {
			s.exec("ALTER TABLE events DELETE WHERE log = {log} AND batch_index = 4 AND pos = 1 SETTINGS mutations_sync = 2")
		}, EventAltered, eventBatch, ""},
		{"the genesis altered", func() {
			s.exec("ALTER TABLE events UPDATE body = replaceOne(body, 'lab', 'bar') WHERE log = {log} AND batch_index = 0 SETTINGS mutations_sync = 2")
		}, EventAltered, 0, "[0] 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			c.change()
			r := s.verify()
			f := r.has(c.kind, c.batch)
			if f == nil || r.ExitCode() != ExitFailed {
				t.Fatalf("want %q in batch %d:\n%s", c.kind, c.batch, text(r))
			}
			if rows := fmt.Sprint(f.Rows, f.MoreRows); c.rows != "" && rows != c.rows || c.rows == "" && len(f.Rows) > 0 {
				t.Errorf("names rows %s, want %q:\n%s", rows, c.rows, text(r))
			}
			if c.kind != RowAltered && c.name != "a row deleted and the rest moved up" && r.has(RowAltered, -1) != nil {
				t.Errorf("rows are said to be altered:\n%s", text(r))
			}
			if c.name == "a batch doubled in the quarantine" {
				s.exec("TRUNCATE TABLE flows_quarantine")
			}
			restore()
		})
	}
	s.t = t
	s.clean("after putting every row back")
}

func quarantineCountsAsStored(t *testing.T, s *recordedSite) {
	defer s.exec("TRUNCATE TABLE flows_quarantine")
	s.exec("INSERT INTO flows_quarantine SELECT * FROM flows WHERE log = {log} AND batch_index = 3")
	s.exec("ALTER TABLE flows DELETE WHERE log = {log} AND batch_index = 3 SETTINGS mutations_sync = 2")
	s.clean("a batch in quarantine")
	s.exec("ALTER TABLE flows_quarantine UPDATE bytes = bytes + 1 WHERE log = {log} AND pos = 299 SETTINGS mutations_sync = 2")
	if f := s.verify().has(RowAltered, nextBatch); f == nil {
		t.Error("altered row in quarantine: not found")
	} else {
		s.requireRow(f, nextBatch, 299)
	}
}

func TestVerify_SchemaChangesAreFaultsNotSilence(t *testing.T) {
	s := newSite(t)
	dropViews(t, s)
	for _, sql := range []string{
		"ALTER TABLE flows MODIFY COLUMN bytes UInt32 SETTINGS mutations_sync = 2",
		"ALTER TABLE flows DROP COLUMN tcp_flags SETTINGS mutations_sync = 2",
		"DROP TABLE flows SYNC",
	} {
		s.exec("%s", sql)
		if r := s.verify(); r.ExitCode() != ExitFailed || r.has(RowsUnreadable, -1) == nil && r.has(RowAltered, -1) == nil {
			t.Errorf("%s: not found:\n%s", sql, text(r))
		}
	}
}

// dropViews takes the views off flows, which would hold on to its columns.
func dropViews(t testing.TB, s *recordedSite) {
	t.Helper()
	rows, err := s.db.Conn().Query(t.Context(), "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView'")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	rows.Close()
	for _, name := range names {
		s.exec("DROP TABLE %s SYNC", name)
	}
}

func batchesOnTheirWayAreNoIntruders(t *testing.T, s *recordedSite) {
	s.exec("INSERT INTO flows SELECT * REPLACE (7::UInt64 AS batch_index) FROM (SELECT * FROM flows WHERE log = {log} AND batch_index = 5) SETTINGS insert_deduplicate = 0")
	o := s.options()
	o.Sealed = func() ([]uint64, error) { return []uint64{7}, nil }
	if r := s.verifyWith(o); len(r.Faults) > 0 || r.OpenBatches != 1 {
		t.Errorf("a batch in the spool: %d open, want 1:\n%s", r.OpenBatches, text(r))
	}
	if r := s.verify(); r.has(RowsAdded, 7) == nil {
		t.Errorf("a batch that is nowhere else:\n%s", text(r))
	}
}

func filterReadsOnlyItsBatches(t *testing.T, s *recordedSite) {
	s.exec("ALTER TABLE flows UPDATE bytes = bytes + 1 WHERE log = {log} AND batch_index = 1 SETTINGS mutations_sync = 2")
	o := s.options()
	o.From, o.To = 2, 7
	r := s.verifyWith(o)
	if len(r.Faults) > 0 || r.Batches != 5 || r.Ranges[0].Content != NotChecked {
		t.Errorf("batches 2 to 6:\n%s", text(r))
	}
	o.From, o.To = 1, 2
	if r := s.verifyWith(o); r.has(RowAltered, 1) == nil || r.Batches != 1 {
		t.Errorf("batch 1:\n%s", text(r))
	}
	o.From, o.To = 9, 0
	if _, err := Verify(context.Background(), o); err == nil {
		t.Error("batches beyond the log: no error")
	}
}
