package storage

// spoolMemory is the memory of records, which goes round: while one is committed
// the next is made. The record appended last is kept as long as nobody needs its
// memory, so that who commits close behind sealing need not read it from the disk.
type spoolMemory struct {
	kept  *spoolContent // the record appended last, not read since
	lent  *spoolContent // the record read last, not removed since
	spare *spoolContent
}

type spoolContent struct {
	index       uint64
	kind        uint8
	meta, block []byte
}

func (m *spoolMemory) keep(c *spoolContent) {
	if m.kept != nil {
		m.spare = m.kept
	}
	m.kept = c
}

// lend returns a record if it is known, else memory to read it into, which
// settle takes back.
func (m *spoolMemory) lend(index uint64) (c *spoolContent, known bool) {
	if m.kept != nil && m.kept.index == index {
		m.lent, m.kept = m.kept, nil
	}
	c, m.lent = m.lent, nil
	if c != nil && c.index == index {
		m.lent = c
		return c, true
	}
	if c == nil {
		c = m.take()
	}
	return c, false
}

func (m *spoolMemory) settle(c *spoolContent, read bool) {
	if read {
		m.lent = c
	} else {
		m.spare = c
	}
}

// release takes back the memory of a record that was removed.
func (m *spoolMemory) release(index uint64) {
	switch {
	case m.kept != nil && m.kept.index == index:
		m.spare, m.kept = m.kept, nil
	case m.lent != nil && m.lent.index == index:
		m.spare, m.lent = m.lent, nil
	}
}

// take gives spare memory away, that of the kept record if there is no other.
func (m *spoolMemory) take() *spoolContent {
	c := m.spare
	m.spare = nil
	if c == nil {
		c, m.kept = m.kept, nil
	}
	if c == nil {
		return new(spoolContent)
	}
	return c
}

// Spare returns memory of records that nobody reads any longer, empty slices to
// make the next one in. They may be nil.
func (s *Spool) Spare() (meta, block []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.memory.take()
	return c.meta[:0], c.block[:0]
}
