package anchor

import (
	"math/rand/v2"
	"reflect"
	"slices"

	"tidemark/collector/flow"
)

// randomEdits makes single changes to a batch.
type randomEdits struct{ what string }

// edit fills dst with src after one random change and returns a row that it
// concerns, -1 if none.
func (e *randomEdits) edit(seed uint64, dst, src *flow.Batch) int {
	r := rand.New(rand.NewPCG(seed, 99))
	n := src.Len()
	i := r.IntN(n)
	switch r.IntN(8) {
	case 0:
		e.what = "nothing"
		dst.Append(src, 0, n)
		return -1
	case 1:
		e.what = "enrichment"
		dst.Append(src, 0, n)
		dst.SrcDevice[i], dst.EventStart[i] = r.Uint64(), int64(r.Uint64())
		return -1
	case 2:
		e.what = "two rows swapped"
		j := (i + 1 + r.IntN(n-1)) % n
		i, j = min(i, j), max(i, j)
		dst.Append(src, 0, i)
		dst.Append(src, j, j+1)
		dst.Append(src, i+1, j)
		dst.Append(src, i, i+1)
		dst.Append(src, j+1, n)
		return i
	case 3:
		e.what = "a row over another"
		j := (i + 1 + r.IntN(n-1)) % n
		dst.Append(src, 0, i)
		dst.Append(src, j, j+1)
		dst.Append(src, i+1, n)
		return i
	case 4:
		e.what = "an octet of an extension"
		dst.Append(src, 0, n)
		x := &dst.Ext
		if x.Count(i) == 0 {
			i = (i/3)*3 + 1
		}
		k := x.Ends[i] - 1 // the last key of the row
		x.Data[x.DataEnds[x.ValueEnds[k]-1]-1] ^= 1 << r.IntN(8)
		return i
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
	return i
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
