package collector

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
	"tidemark/collector/netflow"
)

// octetStream is a connection that gives a few octets at a time.
type octetStream struct {
	net.Conn
	rest  []byte
	chunk int
}

func (s *octetStream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest[:min(s.chunk, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}

func (s *octetStream) SetReadDeadline(time.Time) error { return nil }
func (s *octetStream) Close() error                    { return nil }

// messagesIn cuts a stream into messages by their lengths; broken says that what
// follows them is no message, partial that it is one cut short.
func messagesIn(b []byte) (messages [][]byte, broken, partial bool) {
	for len(b) >= messageHeader {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if binary.BigEndian.Uint16(b) != 10 || n < messageHeader {
			return messages, true, false
		}
		if n > len(b) {
			return messages, false, true
		}
		messages, b = append(messages, b[:n]), b[n:]
	}
	return messages, false, len(b) > 0
}

// Whatever a stream holds and however it is cut into segments, the messages in it
// are decoded as if each had come by itself, and its end is counted once.
func FuzzConnection(f *testing.F) {
	session := append(ipfix(0, 7, addressTemplate), ipfix(0, 7, addressRecords(2))...)
	f.Add(session, uint8(255))
	f.Add(session, uint8(0))
	f.Add(session[:len(session)-3], uint8(6))
	f.Add(append(session[:len(session):len(session)], 0, 9, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), uint8(40))
	f.Add(append(session[:len(session):len(session)], 0, 10, 0, 15), uint8(2))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint8) {
		s, ctx := &sink{}, context.Background()
		c := newCollector(t, Config{}, Deps{Log: zerolog.Nop(), Handle: s.handle})
		cs, l := c.connections, &lane{gatherer: newGatherer(c)}
		cs.lanes = []*lane{l}
		from := netip.MustParseAddrPort("192.0.2.1:40000")
		conn := newConnection(cs, &octetStream{rest: stream, chunk: int(chunk) + 1}, &streamListener{transport: flow.TCP}, c.source(from.Addr()), from, 1)
		if err := conn.serve(ctx, ctx); err != nil {
			t.Fatal(err)
		}
		if err := l.handOver(ctx); err != nil {
			t.Fatal(err)
		}

		messages, broken, partial := messagesIn(stream)
		want, rows := flow.Result{}, 0
		d := netflow.New(netflow.Config{Abandoned: func(_ flow.Datagram, _ uint32, _ flow.Protocol, sets int) {
			want.Undecodable[flow.ReasonTemplateUnknown] += uint32(sets)
		}})
		session := flow.Datagram{Exporter: from.Addr().As16(), Transport: flow.TCP, Connection: 1}
		for _, m := range messages {
			r := d.Decode(new(flow.Batch), session, m)
			rows += r.Flows
			for i, n := range r.Undecodable {
				want.Undecodable[i] += n
			}
		}
		d.End(session)
		if broken {
			want.Undecodable[flow.ReasonMalformed]++
		}
		if partial {
			want.Undecodable[flow.ReasonShort]++
		}
		var got [flow.NumReasons]uint32
		for _, a := range c.accounts.accounts {
			for i, n := range a.undecodable {
				got[i] += uint32(n)
			}
		}
		if read := c.read.Load(); read != uint64(len(messages)) || s.rows() != rows || got != want.Undecodable {
			t.Fatalf("%d messages, %d rows, not decoded %v; want %d, %d, %v", read, s.rows(), got, len(messages), rows, want.Undecodable)
		}
		if n := cs.refused[endedFraming].Load(); (n == 1) != broken {
			t.Fatalf("%d ends for broken framing, the stream is broken: %t", n, broken)
		}
	})
}
