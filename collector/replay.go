package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/gopacket/gopacket/layers"

	"tidemark/collector/detect"
	"tidemark/collector/flow"
	"tidemark/collector/netflow"
)

// ReplayOptions says what to replay and how fast.
type ReplayOptions struct {
	Files  []string  // pcap or pcapng, gzip allowed, in this order
	Reader io.Reader // read after Files, if not nil
	Name   string    // of Reader, for messages

	// Speed is how many seconds of the capture pass in one second; 0 is full speed.
	Speed float64
	// Progress, if not nil, is told the octets of the files read and their sum,
	// which is 0 if it is not known.
	Progress func(octets, total int64)
}

// Summary says what became of the datagrams of a replay.
type Summary struct {
	Datagrams      uint64            `json:"datagrams"`
	Octets         uint64            `json:"octets"` // UDP payload
	Flows          uint64            `json:"flows"`
	OptionsRecords uint64            `json:"options_records"`
	Templates      uint64            `json:"templates"`
	CounterSamples uint64            `json:"counter_samples"`
	Undecodable    map[string]uint64 `json:"undecodable"` // by reason, zeros left out
}

// Replay feeds captures of flow exports through the way of live datagrams. The
// exporter of a datagram is its source in the capture; the time of receipt is
// now. Templates are those of the captures alone: a replay neither uses nor
// changes what live exporters sent.
//
// A capture that is cut short is replayed as far as it goes, and so are the
// files after it; then the error names the file and the offset. The Summary is
// valid whatever the error.
func (c *Collector) Replay(ctx context.Context, o ReplayOptions) (Summary, error) {
	if o.Speed < 0 {
		return Summary{}, fmt.Errorf("replay: speed %v: want 0 (full speed) or more", o.Speed)
	}
	handling, release := c.outlive(ctx)
	defer release()
	p := &player{c: c, o: o, handling: handling, streams: newStreams(c.config.MaxExporters), batch: new(flow.Batch), summary: Summary{Undecodable: map[string]uint64{}}}
	p.netflow = netflow.New(netflow.Config{Sampling: c.config.sampling, Abandoned: p.abandoned})
	var errs []error
	for _, f := range o.Files {
		if s, err := os.Stat(f); err == nil {
			p.total += s.Size()
		}
	}
	for _, f := range o.Files {
		errs = append(errs, p.file(ctx, f))
	}
	if o.Reader != nil {
		p.total = 0
		errs = append(errs, p.play(ctx, o.Name, o.Reader))
	}
	errs = append(errs, p.finish())
	return p.summary, errors.Join(errs...)
}

// outlive returns a context that ends Config.DrainTimeout after ctx does: what
// was read before the end is still handed over.
func (c *Collector) outlive(ctx context.Context) (later context.Context, release func()) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(c.config.DrainTimeout, cancel) })
	return later, func() { stop(); cancel() }
}

// player is one replay.
type player struct {
	c            *Collector
	o            ReplayOptions
	handling     context.Context
	netflow      *netflow.Decoder
	packets      packetReader
	streams      streams // numbers of a capture are not those that its exporter sends now
	batch        *flow.Batch
	observations []observation
	summary      Summary
	handed       time.Time

	base, total int64 // octets of the files before this one, and of all

	began, first time.Time // of the pacing: our time and the capture's
}

func (p *player) file(ctx context.Context, name string) error {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	defer f.Close()
	return p.play(ctx, name, f)
}

func (p *player) play(ctx context.Context, name string, r io.Reader) error {
	in, err := openCapture(r)
	if err != nil {
		return fmt.Errorf("replay %s: %w", name, err)
	}
	defer func() { p.base += in.in.n }()
	unread := map[layers.LinkType]bool{}
	for n := 0; ; n++ {
		if n%1024 == 0 {
			p.progress(in)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("replay %s: stopped at octet %d: %w", name, in.plain.n, err)
		}
		link, packet, at, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("replay %s: the capture is damaged or cut short, what comes before was replayed: %w", name, err)
		}
		if !readableLink(link) {
			unread[link] = true
			continue
		}
		d, ok := p.packets.datagram(link, packet)
		if !ok {
			continue
		}
		if err := p.wait(ctx, at); err != nil {
			return fmt.Errorf("replay %s: %w", name, err)
		}
		if err := p.take(d, at); err != nil {
			return fmt.Errorf("replay %s: %w", name, err)
		}
	}
	p.progress(in)
	var errs []error
	for link := range unread {
		errs = append(errs, fmt.Errorf("replay %s: packets of link type %d (%s) were passed over: want Ethernet, Linux cooked, raw IP or loopback", name, link, link))
	}
	return errors.Join(errs...)
}

func (p *player) progress(in *capture) {
	if p.o.Progress != nil {
		p.o.Progress(p.base+in.in.n, p.total)
	}
}

// wait sleeps until it is the packet's turn. What is gathered is handed over
// first if the pause is longer than live rows would wait.
func (p *player) wait(ctx context.Context, at time.Time) error {
	if p.o.Speed == 0 {
		return nil
	}
	if p.first.IsZero() {
		p.began, p.first = time.Now(), at
	}
	pause := time.Until(p.began.Add(time.Duration(float64(at.Sub(p.first)) / p.o.Speed)))
	if pause <= 0 {
		return nil
	}
	if pause > p.c.config.FlushInterval || time.Since(p.handed) > p.c.config.FlushInterval {
		if err := p.handOver(); err != nil {
			return err
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// take decodes one datagram that was captured at the time at.
func (p *player) take(d udpDatagram, at time.Time) error {
	if _, ok := detect.Protocol(d.payload); !ok && !exportPort(d.to) {
		return nil // a capture holds other UDP too; on an export port it is counted, as it would be live
	}
	src := p.c.source(d.from.Addr())
	p.observations = append(p.observations, observation{
		streams: &p.streams,
		datagram: flow.Datagram{Exporter: src.exporter, Port: d.from.Port(), Transport: flow.File,
			Received: p.c.deps.Clock().UnixNano(), Quality: flow.Replayed | flow.AsExported},
	})
	o := &p.observations[len(p.observations)-1]
	rows := p.batch.Len()
	p.c.decode(p.netflow, p.batch, d.payload, o)
	for i := rows; i < p.batch.Len(); i++ {
		if p.batch.ExportTime[i] == 0 { // sFlow says no time: it was captured as it was exported
			p.batch.ExportTime[i] = at.UnixNano()
		}
	}
	p.sum(o)
	if len(p.observations) == batchDatagrams {
		p.account()
	}
	if p.batch.Len() >= p.c.config.BatchRows {
		return p.handOver()
	}
	return nil
}

// exportPort reports whether exporters send to this port by convention.
func exportPort(port uint16) bool {
	switch port {
	case 2055, 4739, 6343, 9995, 9996:
		return true
	}
	return false
}

func (p *player) sum(o *observation) {
	s, r := &p.summary, &o.result
	s.Datagrams++
	s.Octets += uint64(o.length)
	s.Flows += uint64(r.Flows)
	s.OptionsRecords += uint64(r.OptionsRecords)
	s.Templates += uint64(r.Templates)
	s.CounterSamples += uint64(r.CounterSamples)
	for reason, n := range r.Undecodable {
		p.undecodable(flow.Reason(reason), uint64(n))
	}
}

func (p *player) undecodable(reason flow.Reason, n uint64) {
	if n > 0 {
		p.summary.Undecodable[reason.String()] += n
	}
}

func (p *player) account() {
	p.c.accounts.add(p.observations, nil)
	p.observations = p.observations[:0]
}

func (p *player) handOver() error {
	p.account()
	p.handed = time.Now()
	return p.c.handOver(p.handling, p.batch)
}

// finish gives up what will never be whole, and hands over the last rows.
func (p *player) finish() error {
	p.undecodable(flow.ReasonShort, uint64(p.packets.fragments.abandon()))
	err := p.handOver()
	p.netflow.Abandon()
	return err
}

// abandoned counts Data Sets whose template never came.
func (p *player) abandoned(dg flow.Datagram, domain uint32, protocol flow.Protocol, sets int) {
	p.c.accounts.abandoned(dg, domain, protocol, sets)
	p.undecodable(flow.ReasonTemplateUnknown, uint64(sets))
}
