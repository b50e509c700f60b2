package enrich

// recent is a bounded map: it keeps at least the limit entries used last and at
// most twice as many. When the young generation is full the old one is dropped.
// Values live in slabs, so a full table costs few allocations; a pointer stays
// valid after its entry is dropped.
type recent[K comparable, V any] struct {
	limit      int
	young, old map[K]*V
	slab       []V
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{limit: limit, young: map[K]*V{}}
}

// find returns the entry of k, nil if it is not known.
func (r *recent[K, V]) find(k K) *V {
	if v := r.young[k]; v != nil {
		return v
	}
	if v := r.old[k]; v != nil {
		r.put(k, v)
		return v
	}
	return nil
}

// entry returns the entry of k, a new zero one if it was not known.
func (r *recent[K, V]) entry(k K) (v *V, known bool) {
	if v := r.find(k); v != nil {
		return v, true
	}
	if len(r.slab) == 0 {
		r.slab = make([]V, 256)
	}
	v, r.slab = &r.slab[0], r.slab[1:]
	r.put(k, v)
	return v, false
}

func (r *recent[K, V]) put(k K, v *V) {
	if len(r.young) >= r.limit {
		r.old, r.young = r.young, make(map[K]*V, r.limit)
	}
	r.young[k] = v
}
