package enrich

// recent is a bounded map: it keeps at least the limit entries used last and at
// most twice as many. When the young generation is full the old one is dropped.
// Values live in slabs, so a full table costs few allocations; a pointer stays
// valid after its entry is dropped.
type recent[K comparable, V any] struct {
	limit      int
	hash       func(K) uint64
	young, old generation[K, V]
	slab       []V
}

// generation is an open-addressed table with linear probing, at most half full:
// a lookup is one cache line where Go's map takes three.
type generation[K comparable, V any] struct {
	slots []slot[K, V]
	n     int
}

type slot[K comparable, V any] struct {
	key   K
	value *V // nil = empty
}

const leastSlots = 1 << 10

func newRecent[K comparable, V any](limit int, hash func(K) uint64) *recent[K, V] {
	return &recent[K, V]{limit: limit, hash: hash, young: generation[K, V]{slots: make([]slot[K, V], leastSlots)}}
}

// at returns the slot of k: its own or the empty one where it belongs.
func (g *generation[K, V]) at(k K, hash uint64) *slot[K, V] {
	mask := uint64(len(g.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if s := &g.slots[i]; s.value == nil || s.key == k {
			return s
		}
	}
}

// touch reads the slots of keys and of what they hold, so that the loads wait for
// memory together. What it returns says nothing, but has to be used.
func touch(r *recent[uint64, conversation], keys []uint64) (sum uint64) {
	young, old := r.young.slots, r.old.slots
	for _, k := range keys {
		h := r.hash(k)
		sum += young[h&uint64(len(young)-1)].key
		if len(old) > 0 {
			sum += old[h&uint64(len(old)-1)].key
		}
	}
	for _, k := range keys {
		if c := young[r.hash(k)&uint64(len(young)-1)].value; c != nil {
			sum += uint64(c.last)
		}
	}
	return sum
}

// find returns the entry of k, nil if it is not known.
func (r *recent[K, V]) find(k K) *V {
	h := r.hash(k)
	if v := r.young.at(k, h).value; v != nil {
		return v
	}
	if r.old.n > 0 {
		if v := r.old.at(k, h).value; v != nil {
			r.put(k, h, v)
			return v
		}
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
	r.put(k, r.hash(k), v)
	return v, false
}

func (r *recent[K, V]) put(k K, hash uint64, v *V) {
	switch {
	case r.young.n >= r.limit:
		r.old, r.young = r.young, generation[K, V]{slots: make([]slot[K, V], len(r.young.slots))}
	case 2*r.young.n >= len(r.young.slots):
		r.grow()
	}
	*r.young.at(k, hash) = slot[K, V]{k, v}
	r.young.n++
}

func (r *recent[K, V]) grow() {
	bigger := generation[K, V]{slots: make([]slot[K, V], 2*len(r.young.slots)), n: r.young.n}
	for _, s := range r.young.slots {
		if s.value != nil {
			*bigger.at(s.key, r.hash(s.key)) = s
		}
	}
	r.young = bigger
}

// each calls f for every entry, once.
func (r *recent[K, V]) each(f func(K, *V)) {
	for _, s := range r.young.slots {
		if s.value != nil {
			f(s.key, s.value)
		}
	}
	for _, s := range r.old.slots {
		if s.value != nil && r.young.at(s.key, r.hash(s.key)).value == nil {
			f(s.key, s.value)
		}
	}
}

func hashWord(k uint64) uint64 { return mix(k^0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9) }
