package anchor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"tidemark/anchor/merkle"
)

// slot is one place of the file of headers.
type slot struct {
	at   uint64 // place
	leaf merkle.Hash
	h    Header
	err  error // the octets are no valid header
}

// headerSlots reads places [begin, end) of the file of headers.
func (v *verification) headerSlots(begin, end uint64) ([]slot, error) {
	p := make([]byte, (end-begin)*HeaderSize)
	if _, err := v.ledger.headers.ReadAt(p, int64(begin)*HeaderSize); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read headers [%d, %d): %w", begin, end, err)
	}
	slots := make([]slot, end-begin)
	leaf := make([]byte, 1+HeaderSize) // 0x00 || header
	for i := range slots {
		octets := p[i*HeaderSize : (i+1)*HeaderSize]
		copy(leaf[1:], octets)
		slots[i] = slot{at: begin + uint64(i), leaf: sha256.Sum256(leaf)}
		slots[i].h, slots[i].err = ParseHeader(octets)
	}
	return slots, nil
}

// headerWalk goes along the headers, two behind the reading end: which of two
// that do not fit was altered shows in the one after them.
type headerWalk struct {
	v      *verification
	border merkle.Range
	a, b   *slot // the last two read
	blamed map[uint64]bool
	late   streak
	future streak
	early  streak
}

// walkHeaders checks all headers by themselves and against each other, and
// computes the root hashes that somebody claims.
func (v *verification) walkHeaders() error {
	v.claimed.sizes(v.size)
	w := &headerWalk{v: v, blamed: map[uint64]bool{}}
	for begin := uint64(0); begin < v.size; begin += verifyWindow {
		slots, err := v.headerSlots(begin, min(begin+verifyWindow, v.size))
		if err != nil {
			return err
		}
		for i := range slots {
			w.next(&slots[i])
		}
	}
	w.link(nil)
	for _, r := range []*streak{&w.late, &w.future, &w.early} {
		r.end(v.report)
	}
	return nil
}

func (w *headerWalk) next(s *slot) {
	v := w.v
	w.border.Append(s.leaf, nil)
	if _, ok := v.claimed.roots[w.border.Size()]; ok {
		v.claimed.roots[w.border.Size()] = w.border.Root()
	}
	if s.err != nil {
		w.blame(s.at, HeaderAltered, s.err.Error())
	} else {
		w.alone(&s.h)
	}
	w.link(s)
	w.a, w.b = w.b, s
}

// link checks that b continues a, c being the one after b, nil at the end.
func (w *headerWalk) link(c *slot) {
	a, b := w.a, w.b
	if b == nil {
		return
	}
	if a == nil {
		if b.err == nil && b.h.Index != 0 {
			w.blame(b.at, HeaderAltered, fmt.Sprintf("the first header is of batch %d: the ones before it were removed", b.h.Index))
		}
		return
	}
	if a.err != nil || b.err != nil {
		return // said already
	}
	if a.h.Index+1 != b.h.Index {
		w.blame(b.at, HeaderAltered, fmt.Sprintf("the header of batch %d follows that of batch %d: headers were removed or put elsewhere", b.h.Index, a.h.Index))
		return
	}
	if b.h.PrevLeaf == a.leaf {
		err := CheckSuccessor(&a.h, &b.h)
		if errors.Is(err, ErrTimeClaim) {
			w.v.report.add(Fault{Class: TimeClaim, Kind: TimeFault, Batch: &b.h.Index, Detail: err.Error()})
		} else if err != nil {
			w.blame(b.at, HeaderAltered, err.Error())
		}
		return
	}
	detail := fmt.Sprintf("the header of batch %d names %x as the leaf hash of the one before it, which is %x", b.h.Index, b.h.PrevLeaf, a.leaf)
	switch {
	case c == nil || c.err != nil:
		w.blame(b.at, HeaderAltered, detail+"; which of the two was altered does not show")
	case c.h.PrevLeaf == b.leaf:
		w.blame(a.at, HeaderAltered, detail)
	default:
		w.blame(b.at, HeaderAltered, detail)
	}
}

// blame reports the header at one place, once.
func (w *headerWalk) blame(at uint64, kind Kind, detail string) {
	if w.blamed[at] {
		return
	}
	if len(w.blamed) < 4*maxFaults {
		w.blamed[at] = true
	}
	w.v.report.add(Fault{Kind: kind, Batch: &at, Detail: detail})
}

// alone checks what a header claims of times, and notes what it says of the
// Ethereum chain. Genuine clocks differ: see ClockTolerance.
func (w *headerWalk) alone(h *Header) {
	v := w.v
	if h.Index == 0 && h.LogID != v.ledger.LogID() {
		w.blame(0, OriginDiffers, fmt.Sprintf("the genesis is of log %x, the key in this directory makes it %x", h.LogID, v.ledger.LogID()))
	}
	if v.wanted(&slot{at: h.Index, h: *h}) {
		v.total += h.Rows
	}
	if n := len(v.claimed.blocks); h.EthBlockHash != [32]byte{} && (n == 0 || v.claimed.blocks[n-1].header.EthBlockNumber != h.EthBlockNumber) {
		v.claimed.blocks = append(v.claimed.blocks, ethClaim{h.Index, *h})
	}
	ahead := timeBetween(v.began.UnixNano(), h.Sealed)
	w.future.check(v.report, h.Index, ahead > ClockTolerance, "claims to be sealed at %s, %v from now", spellTime(h.Sealed), ahead)
	if h.Flags&(Events|ClockStep) == 0 {
		after := timeBetween(h.Sealed, h.MaxReceived)
		w.early.check(v.report, h.Index, after > ClockTolerance, "claims to be sealed at %s, %v before its last row was received", spellTime(h.Sealed), after)
	}
	if a, ok := v.claimed.eventOf(h.Index); ok {
		after := timeBetween(a.Block.Time*int64(time.Second), h.Sealed)
		w.late.check(v.report, h.Index, after > ClockTolerance, "claims to be sealed at %s, %v after block %d anchored it", spellTime(h.Sealed), after, a.Block.Number)
	}
}

// streak gathers faults of one kind in batches that follow each other.
type streak struct {
	fault *Fault
	first uint64
	last  uint64
}

func (r *streak) check(report *Report, batch uint64, bad bool, format string, args ...any) {
	switch {
	case !bad:
		r.end(report)
	case r.fault != nil:
		r.last = batch
	default:
		r.first, r.last = batch, batch
		r.fault = &Fault{Class: TimeClaim, Kind: TimeFault, Batch: &r.first, Detail: fmt.Sprintf(format, args...)}
	}
}

func (r *streak) end(report *Report) {
	if r.fault == nil {
		return
	}
	first, last := r.first, r.last
	if r.fault.Batch = &first; last > first {
		r.fault.Detail, r.fault.LastBatch = "the first of them: "+r.fault.Detail, &last
	}
	report.add(*r.fault)
	r.fault = nil
}

// timeBetween is b - a in nanoseconds, or the nearest a Duration can say.
func timeBetween(a, b int64) time.Duration {
	switch d := b - a; {
	case b > a && d < 0:
		return math.MaxInt64
	case b < a && d > 0:
		return math.MinInt64
	default:
		return time.Duration(d)
	}
}
