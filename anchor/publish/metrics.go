package publish

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	reg          prometheus.Registerer
	all          []prometheus.Collector
	transactions *prometheus.CounterVec
	errors, gas  prometheus.Counter
	balance      prometheus.Gauge
}

// newMetrics registers the metrics of p; a nil reg keeps them unregistered.
func newMetrics(p *Publisher, reg prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "tidemark", Subsystem: "anchor", Name: name, Help: help}
	}
	m := &metrics{
		reg: reg,
		transactions: prometheus.NewCounterVec(prometheus.CounterOpts(opts("transactions_total", "Changes of state of transactions, by what they are for.")),
			[]string{"what", "state"}),
		errors:  prometheus.NewCounter(prometheus.CounterOpts(opts("chain_errors_total", "Looks at the chain that ended in an error."))),
		gas:     prometheus.NewCounter(prometheus.CounterOpts(opts("gas_total", "Gas used by included transactions."))),
		balance: prometheus.NewGauge(prometheus.GaugeOpts(opts("balance_ether", "Balance of the publisher account."))),
	}
	gauge := func(name, help string, value func(Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts(name, help)), func() float64 { return value(p.Status()) })
	}
	size := func(a *Anchor) float64 {
		if a == nil {
			return 0
		}
		return float64(a.Size)
	}
	m.all = []prometheus.Collector{
		m.transactions, m.errors, m.gas, m.balance,
		gauge("anchored_headers", "Headers covered by the newest checkpoint in the contract.", func(s Status) float64 { return size(s.Anchored) }),
		gauge("finalized_headers", "Headers covered by the newest final checkpoint.", func(s Status) float64 { return size(s.Finalized) }),
		gauge("backlog_headers", "Headers that the contract does not cover.", func(s Status) float64 { return float64(s.Backlog) }),
		gauge("lag_seconds", "Time since the newest anchor while there is a backlog.", func(s Status) float64 { return s.Lag.Seconds() }),
		gauge("refused", "1 while anchoring is refused for a reason that does not pass.", func(s Status) float64 {
			if s.Refused {
				return 1
			}
			return 0
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range m.all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}
