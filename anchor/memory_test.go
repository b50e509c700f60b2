package anchor

import (
	"testing"
	"unsafe"
)

// A record is found as it was made until its batch is committed; no more than
// limit are, and the octets go round.
func TestMemory_HoldsTheOldestAndGoesRound(t *testing.T) {
	m := memory{limit: 2}
	blocks := map[*byte]bool{}
	seal := func(index uint64) {
		r := m.blank()
		if cap(r.block) == 0 {
			r.block = make([]byte, 0, 8)
		}
		r.header.Index, r.block = index, append(r.block[:0], byte(index))
		blocks[unsafe.SliceData(r.block)] = true
		m.keep(r)
	}
	holds := func(index uint64) bool {
		r := m.find(index)
		if r != nil && (r.header.Index != index || r.block[0] != byte(index)) {
			t.Fatalf("record %d came back as %d", index, r.header.Index)
		}
		return r != nil
	}
	for index := range uint64(20) { // nothing is committed meanwhile
		seal(index)
	}
	for index := range uint64(20) {
		if holds(index) != (index < 2) {
			t.Errorf("record %d held: %v", index, holds(index))
		}
		m.release(index)
	}
	for index := uint64(20); index < 40; index++ {
		seal(index)
		if !holds(index) || index > 20 && !holds(index-1) {
			t.Errorf("record %d and the one before are not held", index)
		}
		if index > 20 {
			m.release(index - 1)
		}
	}
	if len(blocks) > 3 {
		t.Errorf("%d blocks of memory, want the held ones and the one being made", len(blocks))
	}
}
