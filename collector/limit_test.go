package collector

import (
	"net/netip"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestBucket_TakesOneSecondsWorthAtOnceThenTheRate(t *testing.T) {
	var b bucket
	const rate = 1000
	cost := int64(time.Second) / rate
	burst := 0
	for b.take(0, cost) == 0 {
		burst++
	}
	if burst != rate {
		t.Errorf("%d taken at once, want %d", burst, rate)
	}
	if wait := b.take(0, cost); wait != time.Duration(cost) {
		t.Errorf("wait = %s, want %s", wait, time.Duration(cost))
	}
	later := 0
	for now := int64(0); now < int64(10*time.Second); now += cost / 3 {
		if b.take(now, cost) == 0 {
			later++
		}
	}
	if want := 10*rate - 1; later != want {
		t.Errorf("%d taken in the ten seconds after, want %d", later, want)
	}
}

func TestRateLimit_ForgedAddressesDoNotTakeTheBucketsOfOthers(t *testing.T) {
	l := newRateLimit(1)
	exporter := l.bucket(netip.MustParseAddr("192.0.2.1"))
	exporter.full.Store(int64(time.Hour))
	forged := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 2 * maxSources {
		l.bucket(forged(i)).full.Store(int64(time.Hour)) // as if it had taken much
	}
	if len(l.buckets) > maxSources {
		t.Errorf("%d buckets, want at most %d", len(l.buckets), maxSources)
	}
	if l.bucket(netip.MustParseAddr("192.0.2.1")) != exporter || l.bucket(netip.MustParseAddr("192.0.2.2")) != &l.rest {
		t.Error("want a bucket of its own for who was first, the shared one for who came late")
	}
	for _, b := range l.buckets {
		b.full.Store(0)
	}
	l.swept = -int64(time.Hour)
	if l.bucket(netip.MustParseAddr("192.0.2.2")) == &l.rest || len(l.buckets) > 2 {
		t.Errorf("%d buckets, want full ones gone", len(l.buckets))
	}
}

func TestCollector_OverTheRateLimitIsShedAndNotLost(t *testing.T) {
	const sent, limit = 300, 100
	var s sink
	c := start(t, Config{RateLimit: limit, Workers: 1}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := c.dial(0)
	began := time.Now()
	for i := range uint32(sent) {
		write(t, conn, v5(2*i, 2))
	}
	c.await(sent)
	c.stop()
	most := limit + int(time.Since(began).Seconds()*limit) + 1
	if s.rows() < 2*limit || s.rows() > 2*most {
		t.Errorf("%d rows of %d datagrams with a limit of %d/s, want %d to %d", s.rows(), sent, limit, 2*limit, 2*most)
	}
	counts := c.Counts()[1:]
	if len(counts) != 1 || counts[0].Expected != 2*sent || counts[0].Received != 2*sent || counts[0].Shed != uint64(sent-s.rows()/2) {
		t.Errorf("counts %+v with %d rows, want all %d records to have come and the rest of the datagrams shed", counts, s.rows(), 2*sent)
	}
	e := c.Exporters()
	if len(e) != 1 || e[0].ShedBy["rate_limit"] != counts[0].Shed || e[0].Lost != 0 || !e[0].Allowed {
		t.Errorf("status %+v, want %d datagrams shed by the rate limit, none lost", e, counts[0].Shed)
	}
}
