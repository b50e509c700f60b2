// Package collector is the Collecting Process: it receives the datagrams of
// exporters, has them decoded, and accounts for every one.
//
// A Collector owns its sockets and the goroutines that read them; all of them
// have ended when Run returns. A datagram is either decoded into rows that
// Deps.Handle took, or counted: dropped by the kernel (the queue of the socket
// was full), shed (the exporter is not allowed, or over its rate limit), or undecodable, with a reason.
package collector

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"tidemark/collector/detect"
	"tidemark/collector/flow"
	"tidemark/collector/netflow"
	"tidemark/collector/sflow"
)

// Deps is what a Collector is given.
type Deps struct {
	Log        zerolog.Logger
	Registerer prometheus.Registerer // nil = no metrics
	Clock      func() time.Time      // nil = time.Now

	// Handle takes the rows of b: it copies what it keeps, since b is reset when
	// it returns. Workers call it at the same time, each with its own batch. While
	// it blocks, that worker does not read: the socket fills and the kernel drops,
	// counted. An error is final: the rows are counted as lost and Run ends. Its
	// context outlives that of Run by Config.DrainTimeout.
	Handle func(ctx context.Context, b *flow.Batch) error

	// Payload, if set, is given what sampled headers (sFlow) hold behind the
	// transport header of packets from or to PayloadPorts, with the row that the
	// packet made. It may keep neither; workers call it at the same time.
	Payload      func(b *flow.Batch, row int, payload []byte)
	PayloadPorts []uint16

	// Stranger is told of a sender that is not on Config.Allow, once a day and
	// network; nil = it is only logged and counted.
	Stranger func(Stranger)

	// Templates keeps templates over a restart; nil = they are learned anew. A
	// store with a method Run(context.Context) error is run by the Collector.
	Templates netflow.TemplateStore

	// Sequences keeps how far sequence numbers were followed over a restart, see
	// Mark; nil = what exporters send while no collector listens is not counted.
	Sequences *SequenceFile
}

// Collector receives flow exports over UDP, and IPFIX over TCP and TLS.
type Collector struct {
	config           Config
	deps             Deps
	netflow          *netflow.Decoder
	sflow            *sflow.Decoder
	accounts         *accounts
	metrics          *metrics
	mu               sync.Mutex
	readers          []*reader     // guarded by mu; set once, by Listen
	lost             atomic.Uint64 // rows that Handle refused
	read             atomic.Uint64 // datagrams read from sockets
	limit            *rateLimit    // nil = none
	tees             []*teeTarget
	logged           [flow.NumReasons]limiter
	loggedShed       limiter
	loggedMark       limiter
	connections      *connections
	strangers        *strangers
	interfaces       *interfaces
	loggedConnection limiter
}

// New returns a Collector that has opened nothing yet.
func New(c Config, d Deps) (*Collector, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if d.Handle == nil {
		return nil, errors.New("collector: Deps.Handle is nil: somebody must take the rows")
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	c = c.withDefaults()
	co := &Collector{
		config: c, deps: d,
		limit:      newRateLimit(c.RateLimit),
		strangers:  newStrangers(),
		interfaces: newInterfaces(),
	}
	for _, t := range c.Tee {
		co.tees = append(co.tees, &teeTarget{address: t})
	}
	co.sflow = sflow.New(payloads(sflow.Config{Sampling: c.sampling, Counters: co.interfaces.counters, PortName: co.interfaces.named}, d))
	co.connections = newConnections(co)
	co.accounts = newAccounts(c.MaxExporters, co.logOpened)
	if d.Sequences != nil {
		co.accounts.streams.restore(d.Sequences.positions, d.Clock().UnixNano())
	}
	co.netflow = netflow.New(netflow.Config{Sampling: c.sampling, Templates: d.Templates, Abandoned: co.accounts.abandoned})
	co.metrics = newMetrics(co)
	if d.Registerer != nil {
		if err := co.metrics.register(d.Registerer); err != nil {
			return nil, fmt.Errorf("register metrics of the collector: %w", err)
		}
	}
	return co, nil
}

func payloads(c sflow.Config, d Deps) sflow.Config {
	if d.Payload != nil {
		c.Payload, c.Ports = d.Payload, sflow.Ports(d.PayloadPorts...)
	}
	return c
}

// Listen opens the sockets, so that a port in use is known before anything else
// starts. Datagrams wait in them until Run reads.
func (c *Collector) Listen() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readers != nil {
		return nil
	}
	var readers []*reader
	for _, s := range c.config.Listen {
		opened, err := c.listen(s)
		readers = append(readers, opened...)
		if err != nil {
			return errors.Join(err, closeAll(readers))
		}
		c.report(opened[0].socket)
	}
	if err := c.openTees(readers); err != nil {
		return errors.Join(err, closeAll(readers))
	}
	if err := c.connections.listen(context.Background()); err != nil {
		return errors.Join(err, closeAll(readers))
	}
	c.readers = readers
	return nil
}

// listen opens the sockets of one address.
func (c *Collector) listen(address string) (readers []*reader, err error) {
	addr, err := parseListen(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %w", err)
	}
	for i := range c.config.Workers {
		s, err := openSocket(context.Background(), addr, i == 0, c.config.Workers > 1, c.config.ReceiveBuffer)
		if err != nil {
			return readers, err
		}
		readers = append(readers, newReader(c, s))
		addr = netip.AddrPortFrom(addr.Addr(), s.local.Port()) // port 0: the others join the one that was given
	}
	return readers, nil
}

func (c *Collector) sockets() []*reader {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readers
}

func closeAll(readers []*reader) error {
	var errs []error
	for _, r := range readers {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// report says what an address listens with, and how to get the buffer asked for.
func (c *Collector) report(s *socket) {
	e := c.deps.Log.Info()
	if s.buffer < c.config.ReceiveBuffer {
		e = c.deps.Log.Warn().Str("advice", fmt.Sprintf(
			"bursts may be dropped: as root, `sysctl -w net.core.rmem_max=%d`, and the same line in /etc/sysctl.d/ to keep it", c.config.ReceiveBuffer))
	}
	e.Stringer("address", s.local).Int("sockets", c.config.Workers).
		Int("receive_buffer_bytes", s.buffer).Int("wanted_bytes", c.config.ReceiveBuffer).Msg("listening for flow exports")
}

// Listening names all that the collector listens on: UDP addresses as they are,
// others with their transport.
func (c *Collector) Listening() (out []string) {
	for _, a := range c.Addrs() {
		out = append(out, a.String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.connections.listeners {
		out = append(out, transportName(l.transport)+" "+l.Addr().String())
	}
	return out
}

// Addrs returns the addresses of the UDP sockets, one per listen address.
func (c *Collector) Addrs() (out []netip.AddrPort) {
	readers := c.sockets()
	for i := 0; i < len(readers); i += c.config.Workers {
		out = append(out, readers[i].socket.local)
	}
	return out
}

// Close closes the sockets of a Collector that does not run. Run closes them itself.
func (c *Collector) Close() error {
	return errors.Join(closeAll(c.sockets()), c.connections.closeListeners())
}

// Run receives until ctx ends, then reads what the sockets hold, hands it over
// and returns nil. It returns an error if a socket or Handle fails for good.
func (c *Collector) Run(ctx context.Context) error {
	if err := c.Listen(); err != nil {
		return err
	}
	stopTemplates := c.runTemplates(ctx)
	defer stopTemplates()
	if r := c.netflow.Restore(); r != (netflow.Restored{}) {
		c.deps.Log.Info().Int("templates", r.Templates).Int("options", r.Options).Int("refused", r.Refused).
			Msg("restored what exporters said before")
	}

	group, ctx := errgroup.WithContext(ctx)
	handling, release := c.outlive(ctx)
	defer release()
	readers := c.sockets()
	stop := context.AfterFunc(ctx, func() {
		for _, r := range readers {
			// A reader that waits wakes up; see reader.arm for the one that does not.
			_ = r.socket.deadline(time.Unix(1, 0))
		}
	})
	defer stop()
	for _, r := range readers {
		group.Go(func() error { return r.run(ctx, handling) })
	}
	c.connections.start(ctx, handling, group)
	group.Go(func() error { c.watchDrops(ctx); return nil })
	group.Go(func() error { c.tellStrangers(ctx); return nil })
	err := group.Wait()
	c.netflow.Abandon()
	err = errors.Join(err, c.Close())
	t := c.Totals()
	c.deps.Log.Info().Uint64("datagrams", t.Datagrams).Uint64("kernel_drops", t.KernelDrops).Uint64("shed", t.Shed).
		Uint64("flows", t.Flows).Uint64("lost_flows", t.LostFlows).Msg("stopped receiving: the account since the start")
	return err
}

// runTemplates runs the store if it wants to be run; the function returned stops
// it after its last write.
func (c *Collector) runTemplates(ctx context.Context) (stop func()) {
	store, ok := c.deps.Templates.(interface{ Run(context.Context) error })
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := store.Run(ctx); err != nil {
			c.deps.Log.Error().Err(err).Msg("templates will not outlive this process")
		}
	}()
	return func() { cancel(); <-done }
}

// watchDrops logs when the kernel drops, at most every ten seconds.
func (c *Collector) watchDrops(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for last := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n := c.kernelDrops(); n > last {
			c.deps.Log.Warn().Uint64("datagrams", n-last).Uint64("total", n).
				Str("advice", "a longer burst needs a larger collector.receive_buffer; steady loss needs a faster disk or more CPUs").
				Msg("the kernel dropped datagrams: a receive buffer was full")
			last = n
		}
	}
}

func (c *Collector) kernelDrops() (n uint64) {
	for _, r := range c.sockets() {
		dropped, _, _ := r.socket.memory() // an error repeats the last count
		n += dropped
	}
	return n
}

// Counts returns the cumulative account of every exporter, sorted by exporter,
// domain and protocol. The first row is that of the sockets: datagrams read and
// dropped by the kernel. Rows handed over are in the counts.
func (c *Collector) Counts() []flow.ExporterCount {
	drops, read := c.kernelDrops(), c.read.Load()
	sockets := flow.ExporterCount{Expected: read + drops, Received: read, Shed: drops}
	counts := c.accounts.counts()
	if len(counts) > 0 && counts[0].Exporter == sockets.Exporter && counts[0].Protocol == 0 {
		sockets.Undecodable, sockets.Shed = counts[0].Undecodable, drops+counts[0].Shed // exporters past the bound
		counts = counts[1:]
	}
	return append([]flow.ExporterCount{sockets}, counts...)
}

// decode appends the rows of one datagram to dst and fills o. It is the only
// place where octets from outside are read: live and from files.
func (c *Collector) decode(n *netflow.Decoder, dst *flow.Batch, payload []byte, o *observation) {
	rows := dst.Len()
	defer func() {
		if p := recover(); p != nil {
			dst.Truncate(rows)
			o.result = flow.Result{Protocol: o.result.Protocol}
			o.result.Undecodable[flow.ReasonPanic]++
			c.logPanic(p, o, payload)
		}
	}()
	o.length = len(payload)
	protocol, ok := detect.Protocol(payload)
	switch {
	case !ok && len(payload) < 2:
		o.result.Undecodable[flow.ReasonShort]++
	case !ok:
		o.result.Undecodable[flow.ReasonVersion]++
	case protocol == flow.SFlowV5:
		o.agent = sflowAgent(payload)
		o.result = c.sflow.Decode(dst, o.datagram, payload)
		c.interfaces.samples(o, dst, rows)
	default:
		o.result = n.Decode(dst, o.datagram, payload)
	}
	if last := dst.Len() - 1; last >= rows {
		o.samplingRate, o.samplingQuality = dst.SamplingRate[last], dst.Quality[last]
	}
	c.logUndecodable(o, payload)
}

// logOpened announces an exporter at its first datagram.
func (c *Collector) logOpened(a *account, o *observation) {
	if o.shed == notAllowed {
		return // told of by tellStrangers
	}
	c.deps.Log.Info().Stringer("exporter", exporterAddr(a.key.exporter)).Uint16("port", o.datagram.Port).
		Stringer("protocol", a.key.protocol).Uint32("domain", a.key.domain).Msg("first datagram of an exporter")
}

// limiter lets one log line through per interval and counts the others.
type limiter struct{ last, suppressed atomic.Int64 }

func (l *limiter) allow(now int64) (suppressed int64, ok bool) {
	const interval = 10 * int64(time.Second)
	if last := l.last.Load(); now-last < interval && last != 0 || !l.last.CompareAndSwap(last, now) {
		l.suppressed.Add(1)
		return 0, false
	}
	return l.suppressed.Swap(0), true
}

// logUndecodable logs a sample of what could not be read. A template that has
// not come yet and a format that is not read are no faults: they only count.
func (c *Collector) logUndecodable(o *observation, payload []byte) {
	for reason := flow.ReasonNone + 1; int(reason) < flow.NumReasons; reason++ {
		if o.result.Undecodable[reason] == 0 || reason == flow.ReasonTemplateUnknown ||
			reason == flow.ReasonSampleType || reason == flow.ReasonPanic {
			continue
		}
		if suppressed, ok := c.logged[reason].allow(o.datagram.Received); ok {
			c.deps.Log.Warn().Stringer("reason", reason).Stringer("protocol", o.result.Protocol).
				Stringer("exporter", exporterAddr(o.datagram.Exporter)).Uint16("port", o.datagram.Port).
				Int("octets", len(payload)).Hex("first", payload[:min(len(payload), 32)]).
				Int64("suppressed", suppressed).Msg("undecodable datagram")
		}
	}
}

func (c *Collector) logPanic(p any, o *observation, payload []byte) {
	if _, ok := c.logged[flow.ReasonPanic].allow(o.datagram.Received); ok {
		c.deps.Log.Error().Interface("panic", p).Stringer("exporter", exporterAddr(o.datagram.Exporter)).
			Hex("datagram", payload[:min(len(payload), 2048)]).Bytes("stack", debug.Stack()).
			Msg("a decoder broke: please report this, with the datagram")
	}
}

func exporterAddr(a [16]byte) netip.Addr { return netip.AddrFrom16(a).Unmap() }
