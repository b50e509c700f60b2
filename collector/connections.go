package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tidemark/collector/flow"
)

// connectionLimits bounds what strangers can hold of us by connecting. Idle and
// Message keep a peer from holding a connection by saying nothing, or by saying a
// message octet by octet.
type connectionLimits struct {
	Total, PerAddress int
	Handshake         time.Duration // of TLS
	Idle              time.Duration // between messages; a quiet site may have nothing to export for long
	Message           time.Duration // from the first octet of a message to its last
	Drain             time.Duration // of silence that ends the reading of what was sent before we stop
}

func defaultConnectionLimits() connectionLimits {
	return connectionLimits{Total: 1024, PerAddress: 64, Handshake: 10 * time.Second, Idle: 30 * time.Minute,
		Message: 30 * time.Second, Drain: 100 * time.Millisecond}
}

// connections are the listening sockets for IPFIX over TCP and TLS (RFC 7011,
// Section 10.4) and the connections they have accepted.
type connections struct {
	c         *Collector
	limits    connectionLimits
	listeners []*streamListener // guarded by Collector.mu; set once, by Listen
	lanes     []*lane

	mu       sync.Mutex
	open     map[*connection]struct{}
	by       map[netip.Addr]int // open, by address
	number   uint32             // of the last connection
	draining time.Time          // when the drain ends; zero while the collector works

	accepted [flow.DTLS]atomic.Uint64 // by transport
	refused  [numRefusals]atomic.Uint64
}

// streamListener accepts the connections of one address.
type streamListener struct {
	net.Listener
	transport flow.Transport
	tls       *tls.Config // nil = plain TCP
}

// refusal says why a connection was not accepted, or ended by us. The set is
// closed: it labels a metric.
type refusal uint8

const (
	refusedNotAllowed refusal = iota
	refusedLimit
	refusedHandshake
	endedFraming
	endedTimeout
	numRefusals
)

func (r refusal) String() string {
	return [...]string{"not_allowed", "limit", "handshake", "framing", "timeout"}[r]
}

// lane is a batch that connections share: each with its own would cost a
// thousand batches of memory. What blocks the batch holds up its connections, and
// so their exporters; over TCP nothing is lost by it.
type lane struct {
	mu sync.Mutex
	gatherer
}

func newConnections(c *Collector) *connections {
	return &connections{c: c, limits: defaultConnectionLimits(), open: map[*connection]struct{}{}, by: map[netip.Addr]int{}}
}

// listen opens the sockets.
func (cs *connections) listen(ctx context.Context) error {
	type address struct {
		text      string
		transport flow.Transport
	}
	var all []address
	for _, s := range cs.c.config.TCP {
		all = append(all, address{s, flow.TCP})
	}
	var config *tls.Config
	if t := cs.c.config.TLS; len(t.Listen) > 0 {
		var err error
		if config, err = t.server(cs.c.deps.Log); err != nil {
			return err
		}
		for _, s := range t.Listen {
			all = append(all, address{s, flow.TLS})
		}
	}
	for _, a := range all {
		l, err := listenTCP(ctx, a.text)
		if err != nil {
			return errors.Join(err, cs.closeListeners())
		}
		sl := &streamListener{Listener: l, transport: a.transport}
		if a.transport == flow.TLS {
			sl.tls = config
		}
		cs.listeners = append(cs.listeners, sl)
		cs.c.deps.Log.Info().Stringer("address", l.Addr()).Str("transport", transportName(a.transport)).
			Bool("clients_verified", sl.tls != nil && sl.tls.ClientCAs != nil).Msg("listening for IPFIX")
	}
	return nil
}

func transportName(t flow.Transport) string {
	if t == flow.TLS {
		return "tls"
	}
	return "tcp"
}

func listenTCP(ctx context.Context, address string) (net.Listener, error) {
	addr, err := parseListen(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %w", err)
	}
	host := ""
	if addr.Addr().IsValid() {
		host = addr.Addr().String()
	}
	var lc net.ListenConfig // its keep-alive finds dead exporters
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(addr.Port())))
	if err != nil {
		return nil, listenError("tcp", addr, err)
	}
	return l, nil
}

func (cs *connections) closeListeners() error {
	var errs []error
	for _, l := range cs.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// start accepts and serves in group until ctx ends, then reads what exporters
// had sent. The lanes hand over until then and once more.
func (cs *connections) start(ctx, handling context.Context, group *errgroup.Group) {
	if len(cs.listeners) == 0 {
		return
	}
	for range cs.c.config.Workers {
		cs.lanes = append(cs.lanes, &lane{gatherer: newGatherer(cs.c)})
	}
	group.Go(func() error {
		var serving errgroup.Group
		for _, l := range cs.listeners {
			serving.Go(func() error { return cs.accept(ctx, handling, l, &serving) })
		}
		flushing, stop := context.WithCancel(handling)
		var flusher errgroup.Group
		for _, l := range cs.lanes {
			flusher.Go(func() error { return l.run(flushing, handling) })
		}
		wake := context.AfterFunc(ctx, cs.drain)
		defer wake()
		err := serving.Wait()
		stop()
		return errors.Join(err, flusher.Wait())
	})
}

// drain stops accepting, and gives what exporters have sent a short while to be read.
func (cs *connections) drain() {
	_ = cs.closeListeners() // accept ends whatever it says
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.draining = time.Now().Add(cs.c.config.DrainTimeout / 2)
	for s := range cs.open {
		s.hurry(cs.draining)
	}
}

// accept serves the connections of one listener, each in a goroutine of serving.
func (cs *connections) accept(ctx, handling context.Context, l *streamListener, serving *errgroup.Group) error {
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		case err != nil: // out of descriptors, or the peer has gone again
			cs.c.logConnection(err, netip.Addr{}, "accept")
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		s, refused, ok := cs.admit(conn, l)
		if !ok {
			cs.refused[refused].Add(1)
			cs.c.logConnection(errors.New(refused.String()), remote(conn).Addr(), "refuse connection")
			_ = conn.Close()
			continue
		}
		cs.accepted[l.transport].Add(1)
		serving.Go(func() error { return s.serve(ctx, handling) })
	}
}

// admit makes a connection of conn if its address may have one.
func (cs *connections) admit(conn net.Conn, l *streamListener) (s *connection, reason refusal, ok bool) {
	from := remote(conn)
	src := cs.c.source(from.Addr())
	if src.refused {
		cs.c.strangers.heard(from, cs.c.deps.Clock().UnixNano())
		return nil, refusedNotAllowed, false
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) >= cs.limits.Total || cs.by[from.Addr()] >= cs.limits.PerAddress {
		return nil, refusedLimit, false
	}
	cs.number++
	s = newConnection(cs, conn, l, src, from, cs.number)
	cs.open[s] = struct{}{}
	cs.by[from.Addr()]++
	if !cs.draining.IsZero() {
		s.hurry(cs.draining)
	}
	return s, 0, true
}

func (cs *connections) gone(s *connection) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, s)
	if a := s.from.Addr(); cs.by[a] > 1 {
		cs.by[a]--
	} else {
		delete(cs.by, a)
	}
}

// counts returns how many connections each address has open, and how many are
// open by transport.
func (cs *connections) counts() (by map[netip.Addr]int, transports [flow.DTLS]int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	by = make(map[netip.Addr]int, len(cs.by))
	for a, n := range cs.by {
		by[a] = n
	}
	for s := range cs.open {
		transports[s.datagram.Transport]++
	}
	return by, transports
}

func remote(conn net.Conn) netip.AddrPort {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}

// run hands over what waits, every Config.FlushInterval and at the end.
func (l *lane) run(ctx, handling context.Context) error {
	tick := time.NewTicker(l.c.config.FlushInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		l.mu.Lock()
		err := l.handOver(handling)
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// logConnection logs a sample of what goes wrong with connections.
func (c *Collector) logConnection(err error, from netip.Addr, what string) {
	if suppressed, ok := c.loggedConnection.allow(c.deps.Clock().UnixNano()); ok {
		c.deps.Log.Warn().Err(err).Stringer("exporter", from).Int64("suppressed", suppressed).Msg(what)
	}
}
