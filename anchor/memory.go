package anchor

import (
	"sync"
	"time"
)

// maxHeld is how many sealed records of flows are held in memory for the committer,
// of up to 75 MB each: the one it is at and two behind it.
const maxHeld = 3

// made is a record as it was sealed. What has not left this process since its
// leaves were made of the block need not be read from the spool, nor its leaves
// made again: it is enough that the database holds the very octets of the block
// (docs/decisions/0022-compare-instead-of-hashing-again.md).
type made struct {
	sealed
	meta, block []byte
	tags        []byte // of the leaves
	at          time.Time
}

// memory holds sealed records of flows until they are committed, limit of them;
// what is sealed meanwhile is in the spool alone. The octets go round.
type memory struct {
	limit int

	mu    sync.Mutex
	held  map[uint64]*made
	spare []*made
}

// blank returns a record to be made.
func (m *memory) blank() *made {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.spare); n > 0 {
		r := m.spare[n-1]
		m.spare = m.spare[:n-1]
		return r
	}
	return new(made)
}

// keep takes a record that is durable.
func (m *memory) keep(r *made) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.held) == m.limit {
		m.spare = append(m.spare, r)
		return
	}
	if m.held == nil {
		m.held = make(map[uint64]*made)
	}
	m.held[r.header.Index] = r
}

// back takes a record that could not be made durable.
func (m *memory) back(r *made) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spare = append(m.spare, r)
}

// find returns the record of a batch, nil if it is not held. It is good until
// release.
func (m *memory) find(index uint64) *made {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held[index]
}

// release takes back the record of a batch that is committed.
func (m *memory) release(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.held[index]; r != nil {
		delete(m.held, index)
		m.spare = append(m.spare, r)
	}
}
