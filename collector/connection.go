package collector

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"tidemark/collector/flow"
)

// connection is one Transport Session over TCP or TLS: its templates and its
// sequence numbers begin and end with it.
type connection struct {
	cs       *connections
	raw      net.Conn
	conn     net.Conn // raw, or TLS over it
	lane     *lane
	in       *bufio.Reader
	source   source
	from     netip.AddrPort
	datagram flow.Datagram // but for the time
	streams  streams

	mu  sync.Mutex // of the deadline
	end time.Time  // of the drain; zero while the collector works
}

const (
	// maxMessage is the longest IPFIX Message: its Length is 16 bits.
	maxMessage    = 65535
	messageHeader = 16
	// maxConnectionStreams bounds the Observation Domains of one connection whose
	// sequence numbers are followed.
	maxConnectionStreams = 256
)

func newConnection(cs *connections, conn net.Conn, l *streamListener, src source, from netip.AddrPort, number uint32) *connection {
	s := &connection{cs: cs, raw: conn, conn: conn, lane: cs.lanes[int(number)%len(cs.lanes)], source: src, from: from, streams: newStreams(maxConnectionStreams),
		datagram: flow.Datagram{Exporter: src.exporter, Port: from.Port(), Transport: l.transport, Connection: number, Quality: src.quality}}
	if l.tls != nil {
		s.conn = tls.Server(conn, l.tls)
	}
	s.in = bufio.NewReaderSize(s.conn, maxMessage)
	return s
}

// expect bounds the wait for the next octets; when the collector stops it is
// short.
func (s *connection) expect(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.IsZero() {
		d = min(d, s.cs.limits.Drain, time.Until(s.end))
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(d)) // fails only on a closed connection, which the next read reports
}

// hurry makes the reads from now on those of the drain, the one that waits too.
func (s *connection) hurry(end time.Time) {
	s.mu.Lock()
	s.end = end
	s.mu.Unlock()
	s.expect(s.cs.limits.Drain)
}

// serve reads messages until the exporter closes, breaks the framing, or is
// silent for too long, or the drain ends. Only what Handle says is an error.
func (s *connection) serve(ctx, handling context.Context) error {
	defer s.cs.gone(s)
	defer s.conn.Close()
	if err := s.handshake(ctx); err != nil {
		s.cs.refused[refusedHandshake].Add(1)
		s.cs.c.logConnection(err, s.from.Addr(), "TLS handshake")
		return nil
	}
	s.cs.c.deps.Log.Debug().Stringer("exporter", s.from).Str("transport", transportName(s.datagram.Transport)).Msg("connection of an exporter")
	defer s.finish()
	for {
		message, err := s.next()
		if err != nil {
			s.report(ctx, err)
			return nil
		}
		if err := s.throttle(ctx); err != nil {
			return err
		}
		if err := s.take(handling, message); err != nil {
			return err
		}
		if _, err := s.in.Discard(len(message)); err != nil {
			return fmt.Errorf("read from %s: %w", s.from, err) // it was there
		}
	}
}

func (s *connection) handshake(ctx context.Context) error {
	t, ok := s.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cs.limits.Handshake)
	defer cancel()
	return t.HandshakeContext(ctx)
}

// Why a connection is not read further.
var (
	errFraming = errors.New("not an IPFIX message: the stream cannot be read on")
	errCut     = errors.New("the connection ended within a message")
)

// next returns the next message, which stays in the reader's buffer; io.EOF is
// an end between messages.
func (s *connection) next() ([]byte, error) {
	if s.in.Buffered() == 0 {
		s.expect(s.cs.limits.Idle)
		if _, err := s.in.Peek(1); err != nil {
			return nil, err
		}
	}
	header, err := s.peek(messageHeader)
	if err != nil {
		return nil, err
	}
	// RFC 7011, Section 3.1: the version, then the length with the header.
	version, length := binary.BigEndian.Uint16(header), int(binary.BigEndian.Uint16(header[2:]))
	if version != uint16(flow.IPFIX) || length < messageHeader {
		return nil, fmt.Errorf("%w: version %d, length %d", errFraming, version, length)
	}
	return s.peek(length)
}

// peek waits until n octets of a message are there.
func (s *connection) peek(n int) ([]byte, error) {
	if s.in.Buffered() < n {
		s.expect(s.cs.limits.Message)
	}
	b, err := s.in.Peek(n)
	if err != nil && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return nil, errCut
	}
	return b, err
}

// throttle waits until the exporter's rate limit lets a message through: the
// exporter is slowed down, and nothing is shed, as its templates come only once.
func (s *connection) throttle(ctx context.Context) error {
	if s.source.bucket == nil {
		return nil
	}
	limit := s.cs.c.limit
	for {
		wait := s.source.bucket.take(limit.now(), limit.cost)
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil // the drain takes what there is
		case <-timer.C:
		}
	}
}

// take decodes one message.
func (s *connection) take(handling context.Context, message []byte) error {
	l := s.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	s.cs.c.read.Add(1)
	l.observations = append(l.observations, s.observation(len(message)))
	s.cs.c.decode(s.cs.c.netflow, l.batch, message, &l.observations[len(l.observations)-1])
	if l.batch.Len() >= s.cs.c.config.BatchRows {
		return l.handOver(handling)
	}
	if len(l.observations) >= batchDatagrams {
		l.account()
	}
	return nil
}

func (s *connection) observation(length int) observation {
	o := observation{datagram: s.datagram, streams: &s.streams, length: length}
	o.datagram.Received = s.cs.c.deps.Clock().UnixNano()
	return o
}

// report accounts for the end of the connection.
func (s *connection) report(ctx context.Context, err error) {
	timeout := errors.Is(err, os.ErrDeadlineExceeded)
	partial := s.in.Buffered() > 0
	switch {
	case errors.Is(err, errFraming):
		s.cs.refused[endedFraming].Add(1)
		s.undecodable(flow.ReasonMalformed)
	case partial: // octets of a message that will never be whole
		s.undecodable(flow.ReasonShort)
		if timeout && ctx.Err() == nil {
			s.cs.refused[endedTimeout].Add(1)
		}
	case timeout && ctx.Err() == nil:
		s.cs.refused[endedTimeout].Add(1)
		err = errors.New("silent for too long")
	default:
		s.cs.c.deps.Log.Debug().Err(err).Stringer("exporter", s.from).Msg("an exporter's connection has ended")
		return
	}
	s.cs.c.logConnection(err, s.from.Addr(), "end connection of an exporter")
}

func (s *connection) undecodable(reason flow.Reason) {
	l := s.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	o := s.observation(s.in.Buffered())
	o.result.Protocol = flow.IPFIX
	o.result.Undecodable[reason]++
	l.observations = append(l.observations, o)
}

// finish withdraws the templates of the session (RFC 7011, Section 8.1).
func (s *connection) finish() {
	s.cs.c.netflow.End(s.datagram)
}
