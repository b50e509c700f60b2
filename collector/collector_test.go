package collector

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/collector/flow"
)

func TestCollector_ExportersNotAllowedAreCountedAsShed(t *testing.T) {
	s := &sink{}
	c := start(t, Config{Allow: []Network{prefix("192.0.2.0/24")}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := c.dial(0)
	for i := range 5 {
		write(t, conn, v5(uint32(i), 1))
	}
	c.await(5)
	c.stop()
	if counts := c.Counts(); s.rows() != 0 || len(counts) != 2 || counts[1].Shed != 5 || counts[1].Expected != 0 {
		t.Errorf("%d rows, counts %+v, want no row and 5 datagrams shed", s.rows(), counts)
	}
}

func TestCollector_LongestPrefixSetsClockAndSampling(t *testing.T) {
	s := &sink{}
	c := start(t, Config{Exporters: []ExporterConfig{
		{Address: prefix("127.0.0.0/8"), SamplingRate: 10},
		{Address: prefix("127.0.0.1/32"), SamplingRate: 500, SamplingOverride: true, Clock: AsExported},
		{Address: prefix("0.0.0.0/0"), SamplingRate: 3},
	}}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	write(t, c.dial(0), v5(0, 1))
	c.await(1)
	c.stop()
	if s.rows() != 1 || s.batch.SamplingRate[0] != 500 || s.batch.Quality[0]&flow.AsExported == 0 || s.batch.Quality[0]&flow.SamplingFromConfig == 0 {
		t.Errorf("rate %v, quality %v", s.batch.SamplingRate, s.batch.Quality)
	}
	e := c.Exporters()
	if len(e) != 1 || e[0].SamplingSource != "config" || e[0].SamplingRate != 500 || e[0].Clock != AsExported {
		t.Errorf("status %+v", e)
	}
}

func TestCollector_ExportersPastTheBoundShareAnEntry(t *testing.T) {
	c := start(t, Config{MaxExporters: 4}, Deps{Log: zerolog.Nop()})
	conn := c.dial(0)
	for i := range 20 {
		b := v5(0, 1)
		b[20], b[21] = 0, byte(i) // engine id: a domain each
		write(t, conn, b)
	}
	c.await(20)
	c.stop()
	counts := c.Counts()
	var records uint64
	for _, x := range counts[1:] {
		records += x.Received
	}
	if len(counts) != 6 || records != 20 { // sockets, 4, the others
		t.Errorf("%d rows of %d records, want 6 of 20: %+v", len(counts), records, counts)
	}
	if other := counts[1]; other.Exporter != [16]byte{} || other.Protocol != flow.NetFlowV5 || other.Received != 16 {
		t.Errorf("the entry of the others is %+v", other)
	}
}

// Whatever arrives is a row or a count, and memory stays bounded.
func TestCollector_HostileDatagramsOnlyCount(t *testing.T) {
	s := &sink{}
	c := start(t, Config{}, Deps{Log: zerolog.Nop(), Handle: s.handle})
	conn := c.dial(0)
	random := rand.New(rand.NewPCG(1, 2))
	var sent uint64
	send := func(b []byte) {
		write(t, conn, b)
		if sent++; sent%64 == 0 {
			c.await(sent)
		}
	}
	junk := make([]byte, 65507)
	for i := range junk {
		junk[i] = byte(random.Uint32())
	}
	headers := [][]byte{nil, {0, 1}, {0, 5}, {0, 7}, {0, 9}, {0, 10}, {0, 0, 0, 5, 0, 0, 0, 1}, {0, 0, 0, 5, 0, 0, 0, 2}}
	for _, h := range headers {
		for _, size := range []int{0, 1, 2, 3, 4, 7, 8, 15, 16, 19, 20, 23, 24, 27, 28, 47, 72, 200, 1500, 9000, 65507} {
			copy(junk, h)
			send(junk[:size])
		}
	}
	whole := v5(0, 30)
	for n := range whole {
		send(whole[:n])
	}
	for id := range 5000 { // a flood of templates
		b := []byte{0, 9, 0, 1, 0, 1, 0, 0, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 12, byte(id>>8) + 1, byte(id), 0, 1, 0, 1, 0, 4}
		send(b)
	}
	c.await(sent)
	c.stop()
	var datagrams uint64
	reasons := map[string]uint64{}
	for _, e := range c.Exporters() {
		datagrams += e.Datagrams
		for r, n := range e.Undecodable {
			reasons[r] += n
		}
	}
	if drops := c.kernelDrops(); datagrams+drops != sent {
		t.Errorf("%d accounted, %d dropped, %d sent", datagrams, drops, sent)
	}
	if reasons["panic"] != 0 || reasons["version"] == 0 || reasons["short"] == 0 || reasons["limit"] == 0 {
		t.Errorf("reasons %v, want version, short and limit, and no panic", reasons)
	}
}

func TestCollector_UndecodableIsLoggedOnceInAWhile(t *testing.T) {
	var log bytes.Buffer
	c := newCollector(t, Config{}, Deps{Log: zerolog.New(&log)})
	for range 1000 {
		o := observation{datagram: flow.Datagram{Received: 1e18}}
		c.decode(c.netflow, new(flow.Batch), []byte{0xde, 0xad, 0xbe, 0xef}, &o)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "deadbeef") {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

func TestCollector_MetricsAreNamedAndBounded(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	c := newCollector(t, Config{}, Deps{Log: zerolog.Nop(), Registerer: registry})
	for i := range 3 * maxExporterLabels {
		o := observation{datagram: flow.Datagram{Exporter: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).As16(), Received: 1e18}}
		c.decode(c.netflow, new(flow.Batch), v5(0, 1), &o)
		c.accounts.add([]observation{o}, nil)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) < 10 {
		t.Errorf("%d families of metrics", len(families))
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "tidemark_collector_") {
			t.Errorf("metric %s", f.GetName())
		}
		if n := len(f.GetMetric()); n > maxExporterLabels+1 {
			t.Errorf("%s has %d series", f.GetName(), n)
		}
		if f.GetName() == "tidemark_collector_flows_total" {
			var sum float64
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
			if sum != 3*maxExporterLabels {
				t.Errorf("flows_total sums to %v, want %d", sum, 3*maxExporterLabels)
			}
		}
	}
}

// All exporters behind a bridge or NAT have its address; an sFlow agent says its own.
func TestCollector_SFlowAgentsBehindAnotherAddressAreListed(t *testing.T) {
	l := newLab(t, Config{})
	l.send("127.0.0.1", sflowOf(sflowSample(1, 0))) // its own address
	l.send("127.0.0.6", sflowOf(sflowSample(1, 0)))
	equal(t, "an agent that names itself", len(l.status("127.0.0.1").Agents), 0)
	equal(t, "agents behind another address", fmt.Sprint(l.status("127.0.0.6").Agents), "[127.0.0.1]")
	for i := range byte(maxAgents + 5) {
		datagram := sflowOf(sflowSample(1, 0))
		datagram[11] = 10 + i
		l.send("127.0.0.6", datagram)
	}
	equal(t, "agents listed at most", len(l.status("127.0.0.6").Agents), maxAgents)
}
