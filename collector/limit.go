package collector

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// shedding says why a datagram was not decoded though it arrived. The set is
// closed, so it may label a metric.
type shedding uint8

const (
	taken shedding = iota
	notAllowed
	overRate
	stopped // still in the socket when the time to drain it was over
	numSheddings
)

func (s shedding) String() string {
	return [...]string{"taken", "not_allowed", "rate_limit", "stopped"}[s]
}

// rateLimit holds a token bucket per exporter address, of one second's worth of
// Config.RateLimit. A nil one lets everything pass.
type rateLimit struct {
	began time.Time
	cost  int64 // ns for one datagram

	mu      sync.Mutex
	buckets map[netip.Addr]*bucket
	swept   int64  // when the full ones were last looked for
	rest    bucket // shared by the addresses beyond maxSources
}

func newRateLimit(perSecond int) *rateLimit {
	if perSecond == 0 {
		return nil
	}
	return &rateLimit{began: time.Now(), cost: int64(time.Second) / int64(perSecond), buckets: map[netip.Addr]*bucket{}}
}

// now is the time for bucket.take; it does not jump with the clock of the machine.
func (l *rateLimit) now() int64 {
	if l == nil {
		return 0
	}
	return int64(time.Since(l.began))
}

// bucket returns that of an address. At the bound full ones make room once a
// second: they are as good as new. When there is none, forged addresses are being used up, and
// newcomers share one bucket; exporters that were heard before keep theirs.
func (l *rateLimit) bucket(a netip.Addr) *bucket {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[a]; b != nil {
		return b
	}
	if now := l.now(); len(l.buckets) >= maxSources && now-l.swept >= int64(time.Second) {
		l.swept = now
		maps.DeleteFunc(l.buckets, func(_ netip.Addr, b *bucket) bool { return b.full.Load() <= now })
	}
	if len(l.buckets) >= maxSources {
		return &l.rest
	}
	b := new(bucket)
	l.buckets[a] = b
	return b
}

// bucket is a token bucket kept as one number (the generic cell rate algorithm):
// the time at which it is full again. A token taken moves it on.
type bucket struct{ full atomic.Int64 }

// take takes a token and returns 0, or says how long there will be none.
func (b *bucket) take(now, cost int64) (wait time.Duration) {
	const depth = int64(time.Second)
	for {
		old := b.full.Load()
		full := max(old, now) + cost
		if over := full - now - depth; over > 0 {
			return time.Duration(over)
		}
		if b.full.CompareAndSwap(old, full) {
			return 0
		}
	}
}
