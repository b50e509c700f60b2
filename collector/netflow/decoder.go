// Package netflow decodes NetFlow v1, v5, v7, v9 (RFC 3954) and IPFIX (RFC 7011)
// datagrams into flow.Batch. It opens no socket, keeps no clock and never logs.
package netflow

import "tidemark/collector/flow"

// Config bounds a Decoder; a zero field means its default.
type Config struct {
	MaxSessions            int // Transport Sessions remembered, the one silent longest goes first; default 4096
	MaxTemplatesPerSession int // default 4096
	MaxPendingBytes        int // Data Sets waiting for their template, all sessions together; default 64 MiB

	// Sampling is the operator's sampling rate for an exporter, 0 = none. With
	// override it replaces what the exporter says, otherwise it serves when the
	// exporter says nothing.
	Sampling func(exporter [16]byte) (rate uint32, override bool)

	Templates TemplateStore // nil = templates do not outlive the process
}

// TemplateStore keeps opaque template records, so that a restart is not blind
// until every exporter has sent its templates again.
type TemplateStore interface {
	// Save keeps record under key in place of what was there; a nil record
	// removes it. It is called while a session is locked, so it must not wait for
	// a disk. The store may keep record.
	Save(key string, record []byte)
	// Load calls restore for every record kept.
	Load(restore func(key string, record []byte))
}

// Decoder holds what exporters said earlier: templates, sampling rates,
// interface names, and Data Sets whose template has not come. It is safe for
// concurrent use; each caller passes its own Batch.
type Decoder struct {
	config Config
}

// New returns a Decoder that knows no templates; see Restore.
func New(c Config) *Decoder { return &Decoder{config: c} }

// Restore reads the templates of Config.Templates. Call it before the first Decode.
func (d *Decoder) Restore() (restored, refused int) { return 0, 0 }

// Decode appends the flow records of one datagram to dst and accounts for all
// of its octets. It never panics on any payload; rows do not alias it.
func (d *Decoder) Decode(dst *flow.Batch, dg flow.Datagram, payload []byte) flow.Result {
	return flow.Result{}
}

// Abandon drops every Data Set that still waits for its template, reporting how
// many each session had: what a replay does at its end.
func (d *Decoder) Abandon(report func(dg flow.Datagram, domain uint32, p flow.Protocol, sets int)) {}
