package anchor

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
)

// randomEdits makes single changes to a batch.
type randomEdits struct{ what string }

// edit fills dst with src after one random change and returns the rows that it
// concerns.
func (e *randomEdits) edit(seed uint64, dst, src *flow.Batch) []uint32 {
	r := rand.New(rand.NewPCG(seed, 99))
	n := src.Len()
	i := r.IntN(n)
	switch r.IntN(8) {
	case 0:
		e.what = "nothing"
		dst.Append(src, 0, n)
		return nil
	case 1:
		e.what = "enrichment"
		dst.Append(src, 0, n)
		dst.SrcDevice[i], dst.EventStart[i] = r.Uint64(), int64(r.Uint64())
		return nil
	case 2:
		e.what = "two rows swapped"
		j := (i + 1 + r.IntN(n-1)) % n
		i, j = min(i, j), max(i, j)
		dst.Append(src, 0, i)
		dst.Append(src, j, j+1)
		dst.Append(src, i+1, j)
		dst.Append(src, i, i+1)
		dst.Append(src, j+1, n)
		return []uint32{uint32(i), uint32(j)}
	case 3:
		e.what = "a row over another"
		j := (i + 1 + r.IntN(n-1)) % n
		dst.Append(src, 0, i)
		dst.Append(src, j, j+1)
		dst.Append(src, i+1, n)
		return []uint32{uint32(i)}
	case 4:
		e.what = "an octet of an extension"
		dst.Append(src, 0, n)
		x := &dst.Ext
		if x.Count(i) == 0 {
			i = (i/3)*3 + 1
		}
		k := x.Ends[i] - 1 // the last key of the row
		x.Data[x.DataEnds[x.ValueEnds[k]-1]-1] ^= 1 << r.IntN(8)
		return []uint32{uint32(i)}
	}
	dst.Append(src, 0, n)
	names := columns(dst)
	sorted := make([]string, 0, len(names))
	for name := range names {
		if !slices.Contains(enrichment, name) {
			sorted = append(sorted, name)
		}
	}
	slices.Sort(sorted)
	e.what = sorted[r.IntN(len(sorted))]
	flip(names[e.what].Index(i), r)
	return []uint32{uint32(i)}
}

// flip changes one bit.
func flip(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Array:
		flip(v.Index(r.IntN(v.Len())), r)
	case reflect.Int64:
		v.SetInt(v.Int() ^ 1<<r.IntN(64))
	default:
		v.SetUint(v.Uint() ^ 1<<r.IntN(v.Type().Bits()))
	}
}

// sealedRows are rows in memory with what a ledger keeps of them.
func sealedRows(t testing.TB, n int) (*flow.Batch, *Header, *kept) {
	t.Helper()
	b, leaves := siteRows(3, n, testClock), make([]merkle.Hash, n)
	k := &kept{log: 1, secrets: secrets{key: SaltKey([]byte("fedcba9876543210"))}}
	if err := Leaves(leaves, b, k.key); err != nil {
		t.Fatal(err)
	}
	k.nodes = merkle.Blocks(nil, leaves)
	tags := appendTags(nil, leaves)
	k.tags = func() []byte { return tags }
	return b, &Header{Index: 5, Rows: uint64(n), RowRoot: merkle.Root(leaves), MinReceived: b.TimeReceived[0], MaxReceived: b.TimeReceived[n-1]}, k
}

// namedRows are the rows that faults name, ascending.
func namedRows(faults []Fault) (rows []uint32) {
	for _, f := range faults {
		rows = append(rows, f.Rows...)
	}
	slices.Sort(rows)
	return rows
}

// Random edits of rows in memory: every one is found, the very rows are named
// but for the one in 65,536 that keeps its tag, and rows that were not edited
// never are.
func TestCompare_RandomEditsAreFoundAndNamed(t *testing.T) {
	const rows, edits = 300, 10_000
	sealed, h, k := sealedRows(t, rows)
	var w reader
	r := randomEdits{}
	exact, changed := 0, 0
	for i := range edits {
		w.batch.Reset()
		edited := r.edit(uint64(i), &w.batch, sealed)
		var found verdict
		w.compare(h, k, &found)
		if len(edited) == 0 {
			if len(found.faults) != 0 {
				t.Fatalf("edit %d: false alarm: %+v", i, found.faults)
			}
			continue
		}
		changed++
		if slices.Equal(namedRows(found.faults), edited) {
			exact++
		}
		for _, row := range edited {
			if !slices.ContainsFunc(found.faults, func(f Fault) bool { return *f.First <= row && row <= *f.Last }) {
				t.Fatalf("edit %d of rows %d (%s): found %+v", i, edited, r.what, found.faults)
			}
		}
		for _, row := range namedRows(found.faults) {
			if !slices.Contains(edited, row) {
				t.Fatalf("edit %d of rows %d (%s): row %d is named", i, edited, r.what, row)
			}
		}
	}
	t.Logf("%d of %d edits: the very rows", exact, changed)
	if exact < changed*999/1000 {
		t.Errorf("the very rows were named in %d of %d edits, want more than 99.9 %%", exact, changed)
	}
}

// Tags locate and do not prove: whatever they hold, the fault is found, and when
// they cannot be right no row is named by them.
func TestCompare_TagsThatCannotBeRightAreNotUsed(t *testing.T) {
	const rows, altered = 600, 300
	sealed, h, k := sealedRows(t, rows)
	whole := k.tags()
	for name, c := range map[string]struct {
		tags        func() []byte
		first, last uint32
		nodes       bool
	}{
		"none":                          {func() []byte { return nil }, 256, 511, true},
		"of the altered row":            {func() []byte { return nil }, 256, 511, true},
		"all of the block differ":       {func() []byte { p := slices.Clone(whole); spoil(p[2*256 : 2*512]); return p }, 256, 511, true},
		"one of another block":          {func() []byte { p := slices.Clone(whole); spoil(p[2*5 : 2*6]); return p }, 256, 511, true},
		"all":                           {func() []byte { p := slices.Clone(whole); spoil(p); return p }, 256, 511, true},
		"right, but nodes are not":      {func() []byte { return whole }, altered, altered, false},
		"none, and nodes are not right": {func() []byte { return nil }, 0, rows - 1, false},
	} {
		var w reader
		w.batch.Append(sealed, 0, rows)
		w.batch.Bytes[altered]++
		had := *k
		had.tags = c.tags
		if !c.nodes {
			had.nodes = nil
		}
		if name == "of the altered row" { // the forger has made its tag to match
			leaves := make([]merkle.Hash, rows)
			if err := Leaves(leaves, &w.batch, k.key); err != nil {
				t.Fatal(err)
			}
			had.tags = func() []byte { return appendTags(nil, leaves) }
		}
		var found verdict
		w.compare(h, &had, &found)
		if len(found.faults) != 1 || *found.faults[0].First != c.first || *found.faults[0].Last != c.last {
			t.Errorf("tags: %s: found %+v, want rows %d to %d", name, found.faults, c.first, c.last)
		}
	}
}

func spoil(p []byte) {
	for i := range p {
		p[i] ^= 0x55
	}
}

func TestCompare_AnotherSaltKeyIsOneFault(t *testing.T) {
	const rows = 600
	sealed, h, k := sealedRows(t, rows)
	k.key[3] ^= 1
	var w reader
	w.batch.Append(sealed, 0, rows)
	var found verdict
	w.compare(h, k, &found)
	if len(found.faults) != 1 || *found.faults[0].First != 0 || *found.faults[0].Last != rows-1 {
		t.Errorf("found %+v, want one fault over all rows", found.faults)
	}
}

// Of many rows the first are listed and the rest counted.
func TestCompare_ManyRowsAreListedInPart(t *testing.T) {
	const rows = 600
	sealed, h, k := sealedRows(t, rows)
	var w reader
	w.batch.Append(sealed, 0, rows)
	for i := 0; i < rows; i += 10 {
		w.batch.Bytes[i]++
	}
	var found verdict
	w.compare(h, k, &found)
	if len(found.faults) != 1 || len(found.faults[0].Rows) != maxRows || found.faults[0].MoreRows != rows/10-maxRows || found.faults[0].Rows[1] != 10 {
		t.Errorf("found %+v, want %d rows and %d more", found.faults, maxRows, rows/10-maxRows)
	}
}
