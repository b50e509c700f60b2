package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"tidemark/profile"
)

// detectorMetrics tells how the operator's detector files do, and who fails. Names are a label:
// of built-in detectors and of files, a hundred at most.
type detectorMetrics struct {
	status          func() profile.DetectorStatus
	files, failures *prometheus.Desc
}

func newDetectorMetrics(status func() profile.DetectorStatus) detectorMetrics {
	return detectorMetrics{
		status:   status,
		files:    prometheus.NewDesc("tidemark_profile_detector_files", "Detectors of the operator that are in force, faults of their files, and detectors whose last run failed.", []string{"state"}, nil),
		failures: prometheus.NewDesc("tidemark_profile_detector_failures_total", "Runs of the operator's detectors that failed, and of built-in ones that were passed over as they lacked memory.", []string{"detector"}, nil),
	}
}

func (m detectorMetrics) Describe(out chan<- *prometheus.Desc) { out <- m.files; out <- m.failures }

func (m detectorMetrics) Collect(out chan<- prometheus.Metric) {
	s := m.status()
	for state, n := range map[string]int{"in_force": len(s.InForce), "fault": len(s.Faults), "failing": len(s.Failing)} {
		out <- prometheus.MustNewConstMetric(m.files, prometheus.GaugeValue, float64(n), state)
	}
	for name, n := range s.Failures {
		out <- prometheus.MustNewConstMetric(m.failures, prometheus.CounterValue, float64(n), name)
	}
}
