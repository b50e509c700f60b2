// Package sflow decodes sFlow v5 datagrams (sflow.org, sFlow Version 5) into
// flow.Batch. It opens no socket, keeps no clock and never logs.
package sflow

import "tidemark/collector/flow"

// Config configures a Decoder; its zero value is good.
type Config struct {
	// Sampling is the operator's sampling rate for an exporter, 0 = none. With
	// override it replaces the rate in the sample, otherwise it serves when the
	// sample's rate is 0.
	Sampling func(exporter [16]byte) (rate uint32, override bool)
}

// Decoder decodes sFlow v5. It holds no state between datagrams and is safe for
// concurrent use; each caller passes its own Batch.
type Decoder struct {
	config Config
}

// New returns a Decoder.
func New(c Config) *Decoder { return &Decoder{config: c} }

// Decode appends one row per flow sample or discard sample to dst and accounts for
// all octets of the datagram. It never panics on any payload; rows do not alias it.
func (d *Decoder) Decode(dst *flow.Batch, dg flow.Datagram, payload []byte) flow.Result {
	return flow.Result{}
}
