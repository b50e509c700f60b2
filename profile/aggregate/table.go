package aggregate

// table is a set of rows by key, in the order in which the keys were first seen.
// A slot holds the number of a row plus one.
type table[K comparable, R any] struct {
	slots  []uint32
	hashes []uint32
	keys   []K
	rows   []R
}

const firstSlots = 1 << 10

func (t *table[K, R]) reset() {
	clear(t.slots)
	t.hashes, t.keys, t.rows = t.hashes[:0], t.keys[:0], t.rows[:0]
}

// at returns the number of the row of k, whose hash is h; fresh says that it was
// made, of zeros.
func (t *table[K, R]) at(h uint64, k *K) (row int, fresh bool) {
	if 2*len(t.keys) >= len(t.slots) {
		t.grow()
	}
	short, mask := uint32(h>>32), uint32(len(t.slots)-1)
	for at := short & mask; ; at = (at + 1) & mask {
		n := t.slots[at]
		if n == 0 {
			t.slots[at] = uint32(len(t.keys) + 1)
			var zero R
			t.hashes, t.keys, t.rows = append(t.hashes, short), append(t.keys, *k), append(t.rows, zero)
			return len(t.keys) - 1, true
		}
		if t.keys[n-1] == *k {
			return int(n - 1), false
		}
	}
}

func (t *table[K, R]) grow() {
	t.slots = make([]uint32, max(2*len(t.slots), firstSlots))
	mask := uint32(len(t.slots) - 1)
	for n, short := range t.hashes {
		at := short & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = uint32(n + 1)
	}
}
