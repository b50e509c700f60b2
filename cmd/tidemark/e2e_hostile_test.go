package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// prebuilt is n NetFlow v5 datagrams of one flow each, with sequence numbers from 0.
func (s *site) prebuilt(n int) (out [][]byte) {
	for i := range n {
		out = append(out, netflow5(uint32(i), 1))
	}
	return out
}

var order = binary.BigEndian

// netflow5 is a NetFlow v5 datagram of n flows.
func netflow5(sequence uint32, n int) []byte {
	b := order.AppendUint16(nil, 5)
	b = order.AppendUint16(b, uint16(n))
	b = order.AppendUint32(b, 3_600_000) // up for an hour
	b = order.AppendUint32(b, uint32(time.Now().Unix()))
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, sequence)
	b = append(b, 0, 1, 0, 0) // engine, no sampling
	for i := range n {
		b = append(b, 10, 20, 1, byte(10+i%100), 192, 0, 2, byte(i), 0, 0, 0, 0, 0, 1, 0, 2)
		b = order.AppendUint32(b, 3)
		b = order.AppendUint32(b, 180)
		b = order.AppendUint32(b, 3_590_000)
		b = order.AppendUint32(b, 3_599_000)
		b = append(b, 0xc0, byte(i), 1, 187, 0, 0x1b, 6, 0, 0, 0, 0, 0, 24, 24, 0, 0)
	}
	return b
}

// ipfix is an IPFIX message of sets.
func ipfix(domain, sequence uint32, sets ...[]byte) []byte {
	b := order.AppendUint16(nil, 10)
	length := 16
	for _, s := range sets {
		length += len(s)
	}
	b = order.AppendUint16(b, uint16(length))
	b = order.AppendUint32(b, uint32(time.Now().Unix()))
	b = order.AppendUint32(b, sequence)
	b = order.AppendUint32(b, domain)
	for _, s := range sets {
		b = append(b, s...)
	}
	return b
}

func ipfixSet(id uint16, content []byte) []byte {
	b := order.AppendUint16(nil, id)
	return append(order.AppendUint16(b, uint16(4+len(content))), content...)
}

// ipfixTemplate is a Template Record of fields (element, length).
func ipfixTemplate(id uint16, fields ...[2]uint16) []byte {
	b := order.AppendUint16(nil, id)
	b = order.AppendUint16(b, uint16(len(fields)))
	for _, f := range fields {
		b = order.AppendUint16(order.AppendUint16(b, f[0]), f[1])
	}
	return b
}

// spanning is an IPFIX message whose flows each last from start to end.
func spanning(sequence uint32, template bool, spans ...[2]time.Time) []byte {
	var sets [][]byte
	if template {
		sets = append(sets, ipfixSet(2, ipfixTemplate(300, [2]uint16{8, 4}, [2]uint16{12, 4}, [2]uint16{7, 2}, [2]uint16{11, 2}, [2]uint16{4, 1},
			[2]uint16{1, 8}, [2]uint16{2, 8}, [2]uint16{152, 8}, [2]uint16{153, 8})))
	}
	var data []byte
	for i, s := range spans {
		data = append(data, 10, 20, 2, byte(1+i), 192, 0, 2, 9, 0x80, byte(i), 1, 187, 6)
		data = order.AppendUint64(data, 1<<30)
		data = order.AppendUint64(data, 1<<20)
		data = order.AppendUint64(data, uint64(s[0].UnixMilli()))
		data = order.AppendUint64(data, uint64(s[1].UnixMilli()))
	}
	return ipfix(77, sequence, append(sets, ipfixSet(300, data))...)
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestRun_HostileDatagramsAreCountedAndHarmNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	r := rand.New(rand.NewPCG(1, 2))
	day := 24 * time.Hour
	now := time.Now().Truncate(time.Millisecond)
	good := netflow5(7, 30)

	var randoms, truncated, forged, flood, bombs [][]byte
	for i := range 500 {
		randoms = append(randoms, randomBytes(r, r.IntN(1500)))
		withHeader := randomBytes(r, 20+r.IntN(1400))
		copy(withHeader, [][]byte{{0, 5}, {0, 9}, {0, 10}, {0, 0, 0, 5, 0, 0, 0, 1}}[i%4])
		randoms = append(randoms, withHeader)
	}
	for n := range len(good) {
		truncated = append(truncated, good[:n])
	}
	for _, at := range []int{2, 16, 18, 20} { // message length, set id, set length, first field of a template
		for _, v := range []uint16{0, 1, 3, 0x7fff, 0xffff} {
			b := spanning(0, true, [2]time.Time{now.Add(-time.Minute), now})
			order.PutUint16(b[at:], v)
			forged = append(forged, b)
		}
	}
	for domain := range uint32(400) {
		var templates []byte
		for id := range uint16(60) {
			templates = append(templates, ipfixTemplate(256+uint16(domain%100)*60+id, [2]uint16{8, 4}, [2]uint16{12, 4}, [2]uint16{1, 8})...)
		}
		flood = append(flood, ipfix(domain, 0, ipfixSet(2, templates)))
	}
	var fields [][2]uint16
	for range 340 {
		fields = append(fields, [2]uint16{999, 0xffff}) // variable length, each of them 65,535 octets, says the data
	}
	bombs = append(bombs, ipfix(9, 0, ipfixSet(2, ipfixTemplate(400, fields...)), ipfixSet(400, randomBytes(r, 50))))

	for _, c := range []struct {
		name        string
		payloads    [][]byte
		flows       int  // -1: any
		undecodable bool // something must be counted as such
	}{
		{"empty datagram", [][]byte{{}, {0}, {0, 9}}, 0, true},
		{"random octets", randoms, -1, true},
		{"a good datagram at every length", truncated, -1, true},
		{"forged lengths", forged, -1, true},
		{"65,507 octets of one protocol", [][]byte{append(netflow5(1, 30), make([]byte, 65507-len(good))...), append([]byte{0, 10, 0xff, 0xe3}, bytes.Repeat([]byte{0xff}, 65503)...)}, -1, true},
		{"template flood", flood, 0, false},
		{"many variable fields", bombs, 0, true},
		{"flows of a hundred days", [][]byte{
			spanning(0, true, [2]time.Time{now.Add(-100 * day), now}, [2]time.Time{now.Add(-100 * day), now.Add(-99 * day)}, [2]time.Time{now.Add(-time.Second), now}),
			spanning(3, false, hundredDays(now)...),
		}, 3 + 25, false},
		{"times that cannot be", [][]byte{spanning(28, false, [2]time.Time{time.UnixMilli(0), now}, [2]time.Time{now, now.Add(-day)},
			[2]time.Time{now.AddDate(200, 0, 0), now.AddDate(300, 0, 0)}, [2]time.Time{time.UnixMilli(1<<62 - 1), time.UnixMilli(-1)})}, 4, false},
		{"good ones again", [][]byte{good, netflow5(37, 30)}, 60, false},
	} {
		before := s.metrics()
		e := s.exporter("127.4.0.1")
		for _, p := range c.payloads {
			e.send(p)
		}
		s.untilRead()
		after := s.untilCounted(before["tidemark_collector_datagrams_total"] + float64(len(c.payloads)))
		grown := func(name string) int { return int(after[name] - before[name]) }
		if got := grown("tidemark_collector_datagrams_total"); got != len(c.payloads) {
			t.Errorf("%s: %d datagrams counted, %d sent", c.name, got, len(c.payloads))
		}
		if got := grown("tidemark_collector_flows_total"); c.flows >= 0 && got != c.flows {
			t.Errorf("%s: %d flows, want %d", c.name, got, c.flows)
		}
		if got := grown("tidemark_collector_undecodable_total"); c.undecodable && got == 0 {
			t.Errorf("%s: nothing is counted as undecodable", c.name)
		}
		if n := after["tidemark_collector_undecodable_total{reason=\"panic\"}"]; n != 0 {
			t.Errorf("%s: a decoder broke %v times", c.name, n)
		}
	}

	for i := range 1200 { // more exporters than get a series of their own
		e := s.exporter(fmt.Sprintf("127.5.%d.%d", i/250, 1+i%250))
		e.send(netflow5(uint32(i), 1))
		s.untilRead()
		e.conn.Close()
	}
	m := s.metrics()
	series := 0
	for name := range m {
		if strings.HasPrefix(name, `tidemark_collector_datagrams_total{exporter=`) {
			series++
		}
	}
	if series > 1001 {
		t.Errorf("%d exporters have a series, want at most 1001", series)
	}
	if rss := m["process_resident_memory_bytes"]; rss > 1<<30 {
		t.Errorf("the daemon takes %.0f MB after all that", rss/1e6)
	}
	if code, text := s.healthz(); code != 200 {
		t.Errorf("/healthz: %d: %s", code, text)
	}
	if _, drops := s.sockets(); drops != 0 || m["tidemark_collector_lost_flows_total"] != 0 {
		t.Errorf("%d datagrams dropped, %v flows lost", drops, m["tidemark_collector_lost_flows_total"])
	}
	s.stop()
	if n := s.number("SELECT count() FROM flows"); n != uint64(m["tidemark_collector_flows_total"]) {
		t.Errorf("%d flows stored, %v decoded", n, m["tidemark_collector_flows_total"])
	}
	if n := s.number("SELECT count() FROM flows_quarantine"); n != 0 {
		t.Errorf("%d flows in quarantine", n)
	}
	s.aggregatesEqualFlows()
	s.intact(s.trust())
}

// hundredDays is 25 flows of four days each, one after the other.
func hundredDays(now time.Time) (out [][2]time.Time) {
	for i := range 25 {
		end := now.AddDate(0, 0, -4*i)
		out = append(out, [2]time.Time{end.AddDate(0, 0, -4), end})
	}
	return out
}

// untilCounted waits until so many datagrams are counted, and returns all metrics.
func (s *site) untilCounted(datagrams float64) map[string]float64 {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		m := s.metrics()
		if m["tidemark_collector_datagrams_total"] >= datagrams || time.Now().After(deadline) {
			return m
		}
	}
}
