// Package witness has independent witnesses cosign the log's checkpoints (C2SP
// tlog-witness, tlog-cosignature) and keeps what they signed.
//
// A witness remembers the newest checkpoint it saw of a log and cosigns a newer
// one only with a consistency proof, so a log cannot show one history to it and
// another to an auditor. Unlike the contract it needs no chain and costs
// nothing; unlike the chain it must be trusted not to conspire with the operator.
package witness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/anchor/ndjson"
)

// Log is the log whose checkpoints are offered. Its methods are called by the
// goroutine of Run and by Offer.
type Log interface {
	// Signed is the newest checkpoint, signed, that a crash cannot take back.
	Signed() (size uint64, note []byte, err error)
	// Consistency returns an RFC 9162 consistency proof, 0 < first < second <= size.
	Consistency(first, second uint64) ([][32]byte, error)
}

// ErrRefused is wrapped by the errors of a witness that contradicts the log: it
// has seen another history, or a longer one. No waiting cures that.
var ErrRefused = errors.New("witness refuses the log")

// Peer is a witness.
type Peer struct {
	URL string // prefix before "/add-checkpoint"
	Key string // note verifier key, Ed25519 cosignature/v1
}

// Config of Witnesses; a zero field means its default.
type Config struct {
	Dir      string // what is kept; required
	Peers    []Peer
	Interval time.Duration // between two offers; default 10 min

	Client     *http.Client // default: one with a timeout of 10 s
	Now        func() time.Time
	Log        zerolog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Witnesses offers the checkpoints of one log. Run does the work; the other
// methods are safe for concurrent use.
type Witnesses struct {
	log      Log
	cfg      Config
	peers    []*peer
	archive  *ndjson.File[Cosigned]
	cosigned *prometheus.GaugeVec
	offering sync.Mutex // one round at a time

	mu     sync.Mutex
	status []Status
}

// Status is what a witness has cosigned, and what is wrong with it.
type Status struct {
	Name    string    `json:"name"`
	Host    string    `json:"host"`
	Size    uint64    `json:"size"`                // headers it has cosigned
	Time    time.Time `json:"time,omitzero"`       // that the witness put into its cosignature
	Error   string    `json:"error,omitempty"`     // of the last offer
	Failed  time.Time `json:"error_time,omitzero"` // when that was
	Refused bool      `json:"refused"`             // it contradicts the log
}

// New reads what earlier runs left in cfg.Dir. It does not touch the network.
func New(log Log, cfg Config) (*Witnesses, error) {
	if cfg.Interval == 0 {
		cfg.Interval = 10 * time.Minute
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	w := &Witnesses{log: log, cfg: cfg}
	for _, p := range cfg.Peers {
		v, err := NewVerifier(p.Key)
		if err != nil {
			return nil, err
		}
		u, err := url.Parse(p.URL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, fmt.Errorf("witness %s: want an address such as https://witness.example.org", v.Name())
		}
		w.peers = append(w.peers, &peer{url: u.JoinPath("add-checkpoint").String(), host: u.Host, verifier: v, client: cfg.Client})
	}
	var err error
	if w.archive, err = openArchive(cfg.Dir); err != nil {
		return nil, err
	}
	if err := w.remember(); err != nil {
		return nil, errors.Join(err, w.archive.Close())
	}
	return w, w.register()
}

// remember takes what each witness cosigned last from the archive.
func (w *Witnesses) remember() error {
	w.status = make([]Status, len(w.peers))
	for i, p := range w.peers {
		w.status[i] = Status{Name: p.verifier.Name(), Host: p.host}
	}
	return Read(w.cfg.Dir, func(c Cosigned) bool {
		for i, p := range w.peers {
			if c.Witness == p.verifier.Name() && c.Size >= p.size {
				p.size = c.Size
				w.status[i].Size, w.status[i].Time = c.Size, c.Time
			}
		}
		return true
	})
}

func (w *Witnesses) register() error {
	w.cosigned = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "tidemark", Subsystem: "anchor", Name: "cosigned_headers", Help: "Headers covered by the newest checkpoint that a witness cosigned.",
	}, []string{"witness"})
	if w.cfg.Registerer == nil {
		return nil
	}
	for _, s := range w.status {
		w.cosigned.WithLabelValues(s.Name).Set(float64(s.Size))
	}
	return w.cfg.Registerer.Register(w.cosigned)
}

// Close releases the archive; Run must have returned.
func (w *Witnesses) Close() error {
	if w.cfg.Registerer != nil {
		w.cfg.Registerer.Unregister(w.cosigned)
	}
	return w.archive.Close()
}

// Run offers the newest checkpoint each interval until ctx ends. What goes wrong
// is in Status and in the log.
func (w *Witnesses) Run(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.Interval)
	defer tick.Stop()
	for {
		_ = w.Offer(ctx) // said by it
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Offer offers the newest checkpoint to every witness that has not cosigned it.
func (w *Witnesses) Offer(ctx context.Context) error {
	w.offering.Lock()
	defer w.offering.Unlock()
	size, signed, err := w.log.Signed()
	if err != nil || size == 0 {
		return err
	}
	errs := make([]error, len(w.peers))
	got := make([]Cosigned, len(w.peers))
	var wg sync.WaitGroup
	for i, p := range w.peers {
		if p.size == size && w.Status()[i].Error == "" {
			continue
		}
		wg.Go(func() { got[i], errs[i] = p.offer(ctx, w.log, size, signed) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i := range w.peers {
		if errs[i] == nil && got[i].Size != 0 {
			// Before it counts: what is lost in a crash here is signed again.
			if err := w.archive.Append(got[i]); err != nil {
				errs[i] = fmt.Errorf("keep cosignature: %w", err)
			}
		}
		w.report(i, got[i], errs[i])
	}
	return errors.Join(errs...)
}

// report notes the outcome of an offer.
func (w *Witnesses) report(i int, got Cosigned, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.status[i]
	switch {
	case err != nil:
		if s.Error != err.Error() {
			w.cfg.Log.Warn().Err(err).Str("witness", s.Name).Msg("checkpoint not cosigned")
		}
		s.Error, s.Failed, s.Refused = err.Error(), w.cfg.Now(), errors.Is(err, ErrRefused)
	case got.Size != 0:
		w.peers[i].size = got.Size
		*s = Status{Name: s.Name, Host: s.Host, Size: got.Size, Time: got.Time}
		w.cosigned.WithLabelValues(s.Name).Set(float64(got.Size))
		w.cfg.Log.Debug().Str("witness", s.Name).Uint64("size", got.Size).Msg("checkpoint cosigned")
	}
}

// Status tells of each witness, in the order of the configuration.
func (w *Witnesses) Status() []Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Status(nil), w.status...)
}

// Refusal is the first refusal of a witness, nil if none contradicts the log.
func (w *Witnesses) Refusal() error {
	for _, s := range w.Status() {
		if s.Refused {
			return fmt.Errorf("%w: %s: %s", ErrRefused, s.Name, s.Error)
		}
	}
	return nil
}
