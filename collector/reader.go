package collector

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"tidemark/collector/detect"
	"tidemark/collector/flow"
	"tidemark/collector/sflow"
)

// gatherer holds rows, and the account of what they came from, until they are
// handed over.
type gatherer struct {
	c            *Collector
	batch        *flow.Batch
	observations []observation
	ahead        []*stream // accounted further than handed over
}

// reader reads one socket into one batch. Nothing of it is shared but the
// decoder and the accounts.
type reader struct {
	gatherer
	socket     *socket
	sources    map[netip.Addr]source
	forwarders []*forwarder
	flushAt    time.Time // zero while the batch is empty
	nap        time.Duration
	since      int // datagrams read since the last nap
}

// source is what the configuration says of an exporter's address.
type source struct {
	exporter [16]byte
	quality  uint16
	refused  bool    // not on the allow list
	bucket   *bucket // nil without a rate limit
}

const (
	// A nap is slept after a read that emptied the socket, as long as it takes a
	// read's worth of datagrams to come: waking up costs as much as reading many.
	// The longest delays a row by little beside Config.FlushInterval.
	minNap = 500 * time.Microsecond
	maxNap = 10 * time.Millisecond
	// burst is the octets per second, with the kernel's bookkeeping, that a receive
	// buffer must be able to hold during a nap: more than one CPU can read.
	burst = 400 << 20
	// maxSources bounds the cache of sources, maxRows the rows whose memory a
	// batch keeps, in units of Config.BatchRows.
	maxSources = 1 << 16
	maxRows    = 8
)

// doze sleeps after datagrams have come since the last nap.
func (r *reader) doze() {
	longest := min(maxNap, max(minNap, time.Duration(r.socket.buffer)*time.Second/burst))
	r.nap = min(longest, max(minNap, r.nap*batchDatagrams/time.Duration(r.since)))
	r.since = 0
	// A timer of the runtime, for all that it costs: a sleep in the kernel keeps
	// the runtime's monitor awake, which then wakes up every 20 us itself.
	time.Sleep(r.nap)
}

func newGatherer(c *Collector) gatherer { return gatherer{c: c, batch: new(flow.Batch)} }

func newReader(c *Collector, s *socket) *reader {
	return &reader{gatherer: newGatherer(c), socket: s, sources: map[netip.Addr]source{}, nap: minNap}
}

// run reads until ctx ends, then drains the socket.
func (r *reader) run(ctx, handling context.Context) error {
	for ctx.Err() == nil {
		n, err := r.socket.read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return fmt.Errorf("read from udp %s: %w", r.socket.local, err)
		}
		if err := r.take(handling, n); err != nil {
			return err
		}
		if r.batch.Len() > 0 && !time.Now().Before(r.flushAt) {
			if err := r.handOver(handling); err != nil {
				return err
			}
		}
		if r.since += n; n > 0 && n < batchDatagrams {
			r.doze()
		}
	}
	return r.drain(handling)
}

// drain reads what the socket holds. An exporter that goes on sending does not
// hold it up for longer than half the time there is.
func (r *reader) drain(handling context.Context) error {
	for end := time.Now().Add(r.c.config.DrainTimeout / 2); time.Now().Before(end) && handling.Err() == nil; {
		n, err := r.socket.poll()
		if err != nil {
			return fmt.Errorf("read from udp %s: %w", r.socket.local, err)
		}
		if n == 0 {
			break
		}
		if err := r.take(handling, n); err != nil {
			return err
		}
	}
	if err := r.discard(); err != nil {
		return err
	}
	return r.handOver(handling)
}

// discard counts what is left in the socket as shed: once, since exporters may
// go on sending.
func (r *reader) discard() error {
	_, waiting, err := r.socket.memory()
	if err != nil || waiting == 0 {
		return err
	}
	total := 0
	for waiting > 0 {
		n, err := r.socket.poll()
		if err != nil {
			return fmt.Errorf("read from udp %s: %w", r.socket.local, err)
		}
		if n == 0 {
			break
		}
		total += n
		r.c.read.Add(uint64(n))
		received := r.c.deps.Clock().UnixNano()
		for i := range n {
			payload, from := r.socket.datagram(i)
			waiting -= max(len(payload), 1)
			o := r.observation(r.source(from.Addr()), from, received, payload)
			o.shed = stopped
			r.c.observeShed(&o, payload)
			r.observations = append(r.observations, o)
		}
		r.account()
	}
	r.c.deps.Log.Warn().Stringer("address", r.socket.local).Int("datagrams", total).
		Msg("stopped with datagrams unread, counted as shed: exporters go on sending")
	return nil
}

// observation begins the account of a datagram.
func (r *reader) observation(src source, from netip.AddrPort, received int64, payload []byte) observation {
	return observation{
		datagram: flow.Datagram{Exporter: src.exporter, Port: from.Port(), Transport: flow.UDP, Received: received, Quality: src.quality},
		length:   len(payload),
	}
}

// take decodes the n datagrams of the last read, and hands the batch over
// whenever it is full.
func (r *reader) take(handling context.Context, n int) error {
	if n == 0 {
		return nil
	}
	received, now := r.c.deps.Clock().UnixNano(), r.c.limit.now()
	r.c.read.Add(uint64(n))
	r.tee(n) // before what may wait
	for i := range n {
		payload, from := r.socket.datagram(i)
		src := r.source(from.Addr())
		r.observations = append(r.observations, r.observation(src, from, received, payload))
		o := &r.observations[len(r.observations)-1]
		if o.shed = r.c.shed(src, now); o.shed == notAllowed {
			r.c.strangers.heard(from, received)
			continue
		} else if o.shed != taken {
			r.c.observeShed(o, payload)
			continue
		}
		r.c.decode(r.c.netflow, r.batch, payload, o)
		if r.batch.Len() >= r.c.config.BatchRows {
			if err := r.handOver(handling); err != nil {
				return err
			}
		}
	}
	r.account()
	r.arm()
	return nil
}

// account comes before the rows are handed over: counts that are sealed with a
// batch include its rows.
func (g *gatherer) account() {
	g.ahead = g.c.accounts.add(g.observations, g.ahead)
	g.observations = g.observations[:0]
	if g.batch.Len() == 0 {
		g.handed()
	}
}

// handed notes that no row of what was accounted is still here.
func (g *gatherer) handed() {
	g.c.accounts.handed(g.ahead)
	g.ahead = g.ahead[:0]
}

// handOver gives the batch to Handle and empties it.
func (g *gatherer) handOver(ctx context.Context) error {
	g.account()
	err := g.c.handOver(ctx, g.batch)
	if err == nil {
		g.handed()
	}
	if cap(g.batch.Protocol) > maxRows*g.c.config.BatchRows {
		g.batch = new(flow.Batch) // one huge datagram must not cost memory for ever
	}
	return err
}

// arm sets the deadline that ends the wait for more rows. The end of Run sets
// one too, after its context has ended; whichever came last, run looks at the
// context before it waits.
func (r *reader) arm() {
	switch {
	case r.batch.Len() == 0 && !r.flushAt.IsZero():
		r.flushAt = time.Time{}
	case r.batch.Len() > 0 && r.flushAt.IsZero():
		r.flushAt = time.Now().Add(r.c.config.FlushInterval)
	default:
		return
	}
	_ = r.socket.deadline(r.flushAt) // fails only on a closed socket, which the next read reports
}

func (r *reader) handOver(ctx context.Context) error {
	err := r.gatherer.handOver(ctx)
	r.arm()
	return err
}

// handOver gives rows to Handle; b is empty afterwards.
func (c *Collector) handOver(ctx context.Context, b *flow.Batch) error {
	n := b.Len()
	if n == 0 {
		return nil
	}
	began := time.Now()
	err := c.deps.Handle(ctx, b)
	c.metrics.handOver.Observe(time.Since(began).Seconds())
	b.Reset()
	if err != nil {
		c.lost.Add(uint64(n))
		return fmt.Errorf("hand over %d flows: %w", n, err)
	}
	return nil
}

// close closes the sockets.
func (r *reader) close() error {
	err := r.socket.close()
	for _, f := range r.forwarders {
		err = errors.Join(err, f.conn.Close())
	}
	return err
}

func (r *reader) source(a netip.Addr) source {
	if s, ok := r.sources[a]; ok {
		return s
	}
	s := r.c.source(a)
	if len(r.sources) >= maxSources {
		clear(r.sources)
	}
	r.sources[a] = s
	return s
}

func (c *Collector) source(a netip.Addr) source {
	s := source{exporter: a.As16(), refused: !c.config.allowed(a)}
	if !s.refused {
		s.bucket = c.limit.bucket(a)
	}
	if c.config.exporter(a).Clock == AsExported {
		s.quality = flow.AsExported
	}
	return s
}

// shed says whether a datagram of the source is not to be decoded.
func (c *Collector) shed(s source, now int64) shedding {
	switch {
	case s.refused:
		return notAllowed
	case s.bucket != nil && s.bucket.take(now, c.limit.cost) > 0:
		return overRate
	}
	return taken
}

// observeShed fills o for a datagram that is shed. It is accounted where its
// exporter's others are, and its number counts as arrived: what we shed was not
// lost on the way. Of strangers nothing is read.
func (c *Collector) observeShed(o *observation, payload []byte) {
	if o.shed == notAllowed {
		return
	}
	var r flow.Result
	var ok bool
	if p, known := detect.Protocol(payload); known && p == flow.SFlowV5 {
		o.agent = sflowAgent(payload)
		r, ok = sflow.Header(payload)
	} else if known {
		r, ok = c.netflow.Header(payload)
	}
	if ok {
		o.result = r
	}
	if o.shed != overRate {
		return
	}
	if suppressed, ok := c.loggedShed.allow(o.datagram.Received); ok {
		c.deps.Log.Warn().Stringer("exporter", exporterAddr(o.datagram.Exporter)).Int("limit", c.config.RateLimit).
			Int64("suppressed", suppressed).Msg("an exporter sends more datagrams per second than collector.rate_limit: the rest is shed")
	}
}
