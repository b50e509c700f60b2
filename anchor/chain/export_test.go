package chain

// SetRange lets a test cross the boundary between two ranges of events with few blocks.
func (k *Contract) SetRange(blocks uint64) { k.step = blocks }
