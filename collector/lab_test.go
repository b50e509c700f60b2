package collector

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector/flow"
	"tidemark/enrich"
)

// lab is a running Collector whose clock stands still, and its rows.
type lab struct {
	*running
	sink
	applying sync.Mutex // one at a time uses the enricher
	enricher *enrich.Enricher
	sent     uint64
	sockets  map[string]*net.UDPConn
}

const (
	labSeconds = 1_700_000_000 // Export Time of the messages made here
	labUptime  = 1_000_000     // ms
	labNow     = (labSeconds + 1) * int64(time.Second)
)

func newLab(t *testing.T, c Config) *lab {
	t.Helper()
	e, err := enrich.New(enrich.Config{Site: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{enricher: e, sockets: map[string]*net.UDPConn{}}
	c.Workers = 1
	l.running = start(t, c, Deps{Log: zerolog.Nop(), Handle: l.handle, Clock: func() time.Time { return time.Unix(0, labNow) }})
	return l
}

func (l *lab) handle(ctx context.Context, b *flow.Batch) error {
	l.applying.Lock()
	defer l.applying.Unlock()
	l.enricher.Apply(b)
	return l.sink.handle(ctx, b)
}

// send sends from an address and port of its own per exporter, "address" or
// "address/name" for a second one on the address, and waits until all is read.
func (l *lab) send(exporter string, payloads ...[]byte) {
	l.t.Helper()
	l.sendTo(0, exporter, payloads...)
}

func (l *lab) sendTo(listen int, exporter string, payloads ...[]byte) {
	l.t.Helper()
	key := fmt.Sprint(exporter, listen)
	if l.sockets[key] == nil {
		source, _, _ := bytes.Cut([]byte(exporter), []byte("/"))
		conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(string(source))}, net.UDPAddrFromAddrPort(l.Addrs()[listen]))
		if err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { conn.Close() })
		l.sockets[key] = conn
	}
	for _, p := range payloads {
		write(l.t, l.sockets[key], p)
		l.sent++
		l.await(l.sent)
		l.accounted(l.sent)
	}
}

// accounted waits until the datagrams are: what is read is accounted a moment later.
func (l *lab) accounted(datagrams uint64) {
	l.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		var n uint64
		for _, e := range l.Exporters() {
			n += e.Datagrams
		}
		if n >= datagrams {
			return
		}
		if time.Now().After(end) {
			l.t.Fatalf("%d datagrams accounted, want %d", n, datagrams)
		}
	}
}

// rows ends the collector and returns all rows.
func (l *lab) rows(want int) *flow.Batch {
	l.t.Helper()
	l.stop()
	if l.batch.Len() != want {
		l.t.Fatalf("%d rows, want %d; %+v", l.batch.Len(), want, l.Exporters())
	}
	return &l.batch
}

// status is that of the only exporter and protocol, or of the one with the address.
func (l *lab) status(address string) ExporterStatus {
	l.t.Helper()
	for _, e := range l.Exporters() {
		if e.Address == netip.MustParseAddr(address) {
			return e
		}
	}
	l.t.Fatalf("no exporter %s in %+v", address, l.Exporters())
	return ExporterStatus{}
}

// clean wants an exporter of which nothing was lost, refused or left waiting.
func (l *lab) clean(address string) {
	l.t.Helper()
	if e := l.status(address); e.Lost+e.Shed != 0 || len(e.Undecodable) != 0 || e.Waiting != 0 {
		l.t.Errorf("%s: %d lost, %d waiting, not decoded %v; want none", address, e.Lost, e.Waiting, e.Undecodable)
	}
}

func (l *lab) undecodable(address string, reason flow.Reason, want uint64) {
	l.t.Helper()
	if got := l.status(address).Undecodable[reason.String()]; got != want {
		l.t.Errorf("%s: %d %s, want %d", address, got, reason, want)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func has(t testing.TB, b *flow.Batch, row int, pen uint32, id uint16, want []byte) {
	t.Helper()
	if got, ok := b.Ext.Value(row, flow.ExtensionKey(pen, id)); !ok || !bytes.Equal(got, want) {
		t.Errorf("row %d: extension %d/%d = %x (%t), want %x", row, pen, id, got, ok, want)
	}
}

// octets joins numbers in network order, addresses (as text) and octets.
func octets(parts ...any) (b []byte) {
	for _, p := range parts {
		switch v := p.(type) {
		case string:
			b = append(b, netip.MustParseAddr(v).AsSlice()...)
		case []byte:
			b = append(b, v...)
		case int:
			b = append(b, byte(v))
		default:
			b, _ = binary.Append(b, binary.BigEndian, v)
		}
	}
	return b
}

func setOf(id uint16, parts ...any) []byte {
	body := octets(parts...)
	return octets(id, uint16(len(body)+4), body)
}

// templateOf is a Template Record of pairs (id, length).
func templateOf(id uint16, fields ...uint16) []byte {
	return octets(id, uint16(len(fields)/2), fields)
}

func v9Of(sequence, domain uint32, sets ...[]byte) []byte {
	return octets(uint16(9), uint16(len(sets)), uint32(labUptime), uint32(labSeconds), sequence, domain, bytes.Join(sets, nil))
}

func ipfixOf(sequence, domain uint32, sets ...[]byte) []byte {
	body := bytes.Join(sets, nil)
	return octets(uint16(10), uint16(len(body)+16), uint32(labSeconds), sequence, domain, body)
}

// usual is a template most exporters would send: the 5-tuple, octets, packets.
var usual = []uint16{8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4}

func usualRecord(port uint16, count uint32) []byte {
	return octets("10.0.0.1", "192.0.2.9", port, uint16(443), 6, count, uint32(1))
}

// sflowOf makes an sFlow v5 datagram.
func sflowOf(samples ...[]byte) []byte {
	return octets(uint32(5), uint32(1), "127.0.0.1", uint32(0), uint32(1), uint32(60_000), uint32(len(samples)), bytes.Join(samples, nil))
}

// sflowSample is a flow sample of a raw IPv4 header (protocol 11), padded.
func sflowSample(sequence uint32, padding int) []byte {
	ip := octets([]byte{0x45, 0, 0, 128, 0, 0, 0, 0, 64, 17, 0, 0}, "10.0.0.1", "192.0.2.9", uint16(5353), uint16(53), uint32(0))
	record := octets(uint32(11), uint32(128), uint32(0), uint32(len(ip)), ip)
	body := octets(sequence, uint32(7), uint32(512), uint32(1000), uint32(0), uint32(3), uint32(4), uint32(1), uint32(1), uint32(len(record)), record, make([]byte, padding))
	return octets(uint32(1), uint32(len(body)), body)
}
