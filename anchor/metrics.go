package anchor

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the ledger counts.
type metrics struct {
	registerer prometheus.Registerer
	all        []prometheus.Collector

	sealedBatches, sealedRows, sealedEventsTotal prometheus.Counter
	committedBatches, committedRows              prometheus.Counter
	mismatches, quarantined, lost, failedCommits prometheus.Counter
	underived                                    prometheus.Counter
	sealSeconds, commitSeconds                   prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer, l *Ledger) (*metrics, error) {
	m := &metrics{registerer: registerer}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tidemark", Subsystem: "anchor", Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	seconds := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tidemark", Subsystem: "anchor", Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9), // 1 ms to 65 s
		})
		m.all = append(m.all, h)
		return h
	}
	gauge := func(name, help string, value func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "tidemark", Subsystem: "anchor", Name: name, Help: help}, value))
	}
	m.sealedBatches = counter("sealed_batches_total", "Batches of rows made durable in the spool, empty ones too.")
	m.sealedRows = counter("sealed_rows_total", "Rows of those batches.")
	m.sealedEventsTotal = counter("sealed_events_total", "Events made durable in the spool.")
	m.committedBatches = counter("committed_batches_total", "Batches read back from the database and appended to the log.")
	m.committedRows = counter("committed_rows_total", "Leaves of those batches.")
	m.mismatches = counter("read_back_mismatches_total", "Times rows came back other than they were sealed.")
	m.quarantined = counter("quarantined_batches_total", "Batches stored in flows_quarantine.")
	m.lost = counter("lost_batches_total", "Batches logged without their rows, which were damaged in the spool.")
	m.underived = counter("underived_batches_total", "Batches that the aggregates did not take.")
	m.failedCommits = counter("commit_failures_total", "Attempts to commit a batch that ended in an error.")
	m.sealSeconds = seconds("seal_seconds", "Time to hash a batch and to make it durable.")
	m.commitSeconds = seconds("commit_seconds", "Time from taking a batch from the spool to its header in the log.")
	gauge("backlog_batches", "Batches sealed and not yet committed.", func() float64 { return float64(l.Backlog()) })
	gauge("log_batches", "Batches in the log.", func() float64 { return float64(l.reader.Size()) })
	if registerer == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := registerer.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, errors.Join(errors.New("register metrics"), err)
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m == nil || m.registerer == nil {
		return
	}
	for _, c := range m.all {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) sealed(rows uint64, took time.Duration) {
	m.sealedBatches.Inc()
	m.sealedRows.Add(float64(rows))
	m.sealSeconds.Observe(took.Seconds())
}

func (m *metrics) sealedEvents(n int) { m.sealedEventsTotal.Add(float64(n)) }

func (m *metrics) committed(h *Header, took time.Duration) {
	m.committedBatches.Inc()
	m.committedRows.Add(float64(h.Rows))
	m.commitSeconds.Observe(took.Seconds())
}
