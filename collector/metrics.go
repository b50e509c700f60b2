package collector

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"tidemark/collector/flow"
)

// maxExporterLabels bounds the exporters with series of their own: the first
// seen. All others share the label "other".
const maxExporterLabels = 1000

// metrics reads the accounts when it is scraped; the way of a datagram does not
// touch it.
type metrics struct {
	c        *Collector
	handOver prometheus.Histogram
	descs    map[string]*prometheus.Desc
}

func newMetrics(c *Collector) *metrics {
	m := &metrics{c: c, descs: map[string]*prometheus.Desc{}}
	m.handOver = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "tidemark_collector_hand_over_seconds",
		Help:    "Time a worker waited for its batch to be taken; it does not read meanwhile.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 10),
	})
	add := func(name, help string, labels ...string) {
		m.descs[name] = prometheus.NewDesc("tidemark_collector_"+name, help, labels, nil)
	}
	add("datagrams_total", "Datagrams received.", "exporter", "protocol")
	add("received_bytes_total", "Octets of UDP payload received.", "exporter", "protocol")
	add("flows_total", "Flow records decoded.", "exporter", "protocol")
	add("options_records_total", "Options Data Records decoded.", "exporter", "protocol")
	add("templates_total", "Template Records read, repeats included.", "exporter", "protocol")
	add("templates_known", "Templates held now.", "exporter", "protocol")
	add("sets_waiting", "Data Sets held now whose template has not come.", "exporter", "protocol")
	add("template_conflicts_total", "Live templates redefined with another layout.", "exporter", "protocol")
	add("sets_waited_total", "Data Sets kept until their template comes.", "exporter", "protocol")
	add("counter_samples_total", "sFlow counter samples seen.", "exporter", "protocol")
	add("sequence_expected_total", "What the sequence numbers say was sent, in the unit of the protocol.", "exporter", "protocol")
	add("sequence_received_total", "What arrived of it.", "exporter", "protocol")
	add("sequence_missed_while_down_total", "What was sent of it while no collector listened.", "exporter", "protocol")
	add("duplicates_total", "Datagrams that arrived again.", "exporter", "protocol")
	add("reordered_total", "Datagrams that arrived late.", "exporter", "protocol")
	add("restarts_total", "Times the exporter began to count anew.", "exporter", "protocol")
	add("shed_total", "Datagrams that were not decoded, by reason.", "exporter", "reason")
	add("undecodable_total", "Datagrams or sets that gave no record.", "exporter", "reason")
	add("clock_offset_seconds", "Our clock minus the exporter's, median of the last minute.", "exporter", "protocol")
	add("exporters", "Exporters seen, by protocol.", "protocol")
	add("kernel_drops_total", "Datagrams the kernel dropped: the receive buffer was full.", "address")
	add("queued_bytes", "Octets waiting in receive buffers, with the kernel's bookkeeping.", "address")
	add("receive_buffer_bytes", "Receive buffer granted per socket.", "address")
	add("tee_datagrams_total", "Datagrams forwarded to collector.tee.", "target")
	add("tee_drops_total", "Datagrams not forwarded: the kernel did not take them at once.", "target")
	add("connections", "Connections of exporters open now.", "transport")
	add("connections_total", "Connections accepted.", "transport")
	add("connections_refused_total", "Connections refused or ended by us, by reason.", "reason")
	add("lost_flows_total", "Decoded flows that could not be handed over.")
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if err := r.Register(m.handOver); err != nil {
		return err
	}
	return r.Register(m)
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	send := func(name string, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(m.descs[name], kind, value, labels...)
	}
	m.collectSockets(send)
	m.collectExporters(send)
	m.collectConnections(send)
	for _, t := range m.c.tees {
		send("tee_datagrams_total", prometheus.CounterValue, float64(t.sent.Load()), t.address)
		send("tee_drops_total", prometheus.CounterValue, float64(t.dropped.Load()), t.address)
	}
	send("lost_flows_total", prometheus.CounterValue, float64(m.c.lost.Load()))
}

type sendFunc func(name string, kind prometheus.ValueType, value float64, labels ...string)

func (m *metrics) collectSockets(send sendFunc) {
	readers, workers := m.c.sockets(), m.c.config.Workers
	for i := 0; i < len(readers); i += workers {
		var drops uint64
		var waiting int
		for _, r := range readers[i:min(i+workers, len(readers))] {
			d, w, _ := r.socket.memory() // an error repeats the last count
			drops, waiting = drops+d, waiting+w
		}
		address := readers[i].socket.local.String()
		send("kernel_drops_total", prometheus.CounterValue, float64(drops), address)
		send("queued_bytes", prometheus.GaugeValue, float64(waiting), address)
		send("receive_buffer_bytes", prometheus.GaugeValue, float64(readers[i].socket.buffer), address)
	}
}

func (m *metrics) collectConnections(send sendFunc) {
	cs := m.c.connections
	_, open := cs.counts()
	for _, t := range []flow.Transport{flow.TCP, flow.TLS} {
		send("connections", prometheus.GaugeValue, float64(open[t]), transportName(t))
		send("connections_total", prometheus.CounterValue, float64(cs.accepted[t].Load()), transportName(t))
	}
	for r := range numRefusals {
		send("connections_refused_total", prometheus.CounterValue, float64(cs.refused[r].Load()), r.String())
	}
}

func (m *metrics) collectExporters(send sendFunc) {
	all := m.c.Exporters()
	slices.SortStableFunc(all, func(x, y ExporterStatus) int { return x.FirstSeen.Compare(y.FirstSeen) })
	type series struct{ name, exporter, second string }
	sums := map[series]float64{}
	gauges := map[series]float64{}
	protocols := map[string]float64{}
	labels := map[string]bool{}
	for i := range all {
		e := &all[i]
		exporter := "other"
		if name := e.Address.String(); e.Address.IsValid() && (labels[name] || len(labels) < maxExporterLabels) {
			exporter, labels[name] = name, true
		}
		protocols[e.Protocol]++
		add := func(name string, n uint64) { sums[series{name, exporter, e.Protocol}] += float64(n) }
		add("datagrams_total", e.Datagrams)
		add("received_bytes_total", e.Octets)
		add("flows_total", e.Flows)
		add("options_records_total", e.OptionsRecords)
		add("templates_total", e.Templates)
		add("template_conflicts_total", e.Conflicts)
		add("sets_waited_total", e.Waited)
		add("counter_samples_total", e.CounterSamples)
		add("sequence_expected_total", e.Expected)
		add("sequence_received_total", e.Received)
		add("sequence_missed_while_down_total", e.LostAway)
		add("duplicates_total", e.Duplicates)
		add("reordered_total", e.Reordered)
		add("restarts_total", e.Restarts)
		for reason, n := range e.ShedBy {
			sums[series{"shed_total", exporter, reason}] += float64(n)
		}
		for reason, n := range e.Undecodable {
			sums[series{"undecodable_total", exporter, reason}] += float64(n)
		}
		gauges[series{"templates_known", exporter, e.Protocol}] += float64(e.TemplatesKnown)
		gauges[series{"sets_waiting", exporter, e.Protocol}] += float64(e.Waiting)
		if e.ClockOffset != nil && exporter != "other" {
			gauges[series{"clock_offset_seconds", exporter, e.Protocol}] = e.ClockOffset.Seconds()
		}
	}
	for s, v := range sums {
		send(s.name, prometheus.CounterValue, v, s.exporter, s.second)
	}
	for s, v := range gauges {
		send(s.name, prometheus.GaugeValue, v, s.exporter, s.second)
	}
	for p, n := range protocols {
		send("exporters", prometheus.GaugeValue, n, p)
	}
}
