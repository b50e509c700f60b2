package netflow

import (
	"bytes"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A Data Set that comes before its template waits (RFC 3954, Section 9) at most
// maxWait, in at most an eighth of Config.MaxPendingBytes per session.
const (
	maxWait         = int64(time.Hour)
	pendingShare    = 8
	pendingOverhead = 192  // octets of memory per set besides its own
	maxPendingKeys  = 1024 // template ids waited for, per session
)

// waiting is a Data Set and the Message it came in.
type waiting struct {
	m   message
	set []byte
}

func (w *waiting) cost() int { return len(w.set) + pendingOverhead }

// pending holds the waiting sets of one session, in order of arrival per template.
type pending struct {
	mu     sync.Mutex
	queues map[templateKey][]waiting
	bytes  int
	oldest int64 // no queue began before
	closed bool  // its session is forgotten
}

// add keeps a copy of set. It reports whether it did, and how many older sets
// it gave up for it.
func (p *pending) add(k templateKey, m *message, set []byte, total *atomic.Int64, limit int) (kept bool, expired int) {
	w := waiting{*m, set}
	p.mu.Lock()
	defer p.mu.Unlock()
	full := func() bool {
		return p.bytes+w.cost() > limit/pendingShare || total.Load()+int64(w.cost()) > int64(limit) ||
			(len(p.queues) >= maxPendingKeys && p.queues[k] == nil)
	}
	if then := m.dg.Received - maxWait; p.oldest < then && full() {
		expired = p.expire(then, total)
	}
	if p.closed || full() {
		return false, expired
	}
	if p.queues == nil {
		p.queues = map[templateKey][]waiting{}
	}
	if len(p.queues) == 0 {
		p.oldest = m.dg.Received
	}
	p.oldest = min(p.oldest, m.dg.Received)
	w.set = bytes.Clone(set)
	p.queues[k] = append(p.queues[k], w)
	p.bytes += w.cost()
	total.Add(int64(w.cost()))
	return true, expired
}

// any tells whether something waits.
func (p *pending) any() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queues) > 0
}

// take removes the oldest sets that wait for k, as many as hold at most rows
// records of size octets, and at least one if rows is positive.
func (p *pending) take(k templateKey, total *atomic.Int64, size, rows int) []waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queues[k]
	n := 0
	for n < len(q) && rows > 0 {
		rows -= len(q[n].set)/size + 1
		n++
	}
	p.account(q[:n], total)
	if n == len(q) {
		delete(p.queues, k)
	} else {
		p.queues[k] = q[n:]
	}
	return q[:n]
}

// expire drops the queues that began before then.
func (p *pending) expire(then int64, total *atomic.Int64) (sets int) {
	p.oldest = math.MaxInt64
	for k, q := range p.queues {
		if q[0].m.dg.Received < then {
			sets += len(q)
			p.drop(k, total)
		} else {
			p.oldest = min(p.oldest, q[0].m.dg.Received)
		}
	}
	return sets
}

// close refuses more.
func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// size is how many octets wait.
func (p *pending) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// empty drops everything, showing each set to f.
func (p *pending) empty(total *atomic.Int64, f func(waiting)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, q := range p.queues {
		for _, w := range q {
			f(w)
		}
		p.drop(k, total)
	}
}

func (p *pending) drop(k templateKey, total *atomic.Int64) {
	p.account(p.queues[k], total)
	delete(p.queues, k)
}

func (p *pending) account(gone []waiting, total *atomic.Int64) {
	for i := range gone {
		p.bytes -= gone[i].cost()
		total.Add(-int64(gone[i].cost()))
	}
}
