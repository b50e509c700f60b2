package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"tidemark/anchor"
	"tidemark/collector"
	"tidemark/collector/flow"
	"tidemark/enrich"
	"tidemark/enrich/classifier"
	"tidemark/enrich/names"
	"tidemark/profile"
	"tidemark/profile/aggregate"
	"tidemark/profile/notify"
	"tidemark/storage"
)

// node is a data directory at work: the way of a flow from the collector to the
// log, and the scoring of what is new. The daemon and a replay without a daemon
// run the same one; only the daemon opens sockets.
type node struct {
	cfg        Config
	dir        string
	log        zerolog.Logger
	db         *storage.DB
	spool      *storage.Spool
	ledger     *anchor.Ledger
	collector  *collector.Collector
	ingest     *ingest
	scorer     *profile.Scorer
	kinds      *classifier.Classifier
	names      *names.Book
	identities *identities
	scoring    sync.Mutex    // one at a time changes incidents
	erasing    sync.Mutex    // one at a time erases
	containing sync.Mutex    // one at a time has plans applied
	committed  chan struct{} // holds one token while there is something to score

	// told passes on what the scorer found, once it is in the ledger
	told outbox
	// fault is told how scoring goes, rules how the operator's detectors do; nil: well
	fault, rules func(error)
	// warn passes on that a stranger sends; nil: nobody is told. warned is the day of
	// the last; both are used by the collector's one goroutine for strangers
	warn   func(notify.Alert) error
	warned time.Time
}

// nodeDeps is what a node is given beside its configuration and database.
type nodeDeps struct {
	genesis   map[string]any            // said of chains in the first event of a new log
	finalized func() (uint64, [32]byte) // newest finalized block, nil: no chain
	log       zerolog.Logger
	metrics   prometheus.Registerer
}

// openNode opens the ledger of dir on db; both are the caller's to close, the
// node first.
func openNode(ctx context.Context, cfg Config, dir string, db *storage.DB, deps nodeDeps) (_ *node, err error) {
	n := &node{cfg: cfg, dir: dir, log: deps.log, db: db, committed: make(chan struct{}, 1), fault: func(error) {}, rules: func(error) {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	if n.spool, err = storage.OpenSpool(filepath.Join(dir, "spool")); err != nil {
		return nil, err
	}
	n.ledger, err = anchor.Open(ctx, anchor.Options{
		Dir: ledgerDir(dir), Origin: cfg.origin(), Site: cfg.Site, Version: version, Genesis: deps.genesis,
		DB: db, Spool: n.spool, Finalized: deps.finalized, Log: deps.log, Registerer: deps.metrics,
		Derive: aggregate.New().Derive,
		OnCommitted: func(uint64, anchor.Header) {
			select {
			case n.committed <- struct{}{}:
			default:
			}
		},
	})
	if errors.Is(err, anchor.ErrKey) || errors.Is(err, anchor.ErrLocked) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, err
	}
	enricher, err := enrich.New(cfg.enrich())
	if err != nil {
		return nil, err
	}
	watched := cfg.profile()
	watched.Log = n.ledger.ID()
	n.scorer, err = profile.New(db, watched, n.emit, deps.log)
	if err != nil {
		return nil, err
	}
	if err := deps.metrics.Register(newDetectorMetrics(n.scorer.DetectorStatus)); err != nil {
		return nil, fmt.Errorf("register metrics of detectors: %w", err)
	}
	if err := seed(ctx, n.scorer, enricher); err != nil {
		return nil, err
	}
	n.ingest = newIngest(enricher, n.ledger, cfg, deps.log)
	if n.identities, err = openIdentities(cfg, enricher, n.ingest, n.scorer, deps.log, deps.metrics); err != nil {
		return nil, err
	}
	n.kinds, err = cfg.openClassifier(db, func(ctx context.Context, actor string, body map[string]any) error {
		_, _, err := n.ledger.EventNow(ctx, "device_kind", actor, body)
		return err
	})
	if err != nil {
		return nil, err
	}
	var payload func(*flow.Batch, int, []byte)
	if n.names, payload, err = cfg.openNames(db, deps.log, deps.metrics); err != nil {
		return nil, err
	}
	templates, err := collector.OpenTemplates(filepath.Join(dir, "templates"), deps.log)
	if err != nil {
		return nil, err
	}
	sequences, err := collector.OpenSequences(filepath.Join(dir, "sequences"), deps.log)
	if err != nil {
		return nil, err
	}
	n.collector, err = collector.New(cfg.collector(), collector.Deps{
		Log: deps.log, Registerer: deps.metrics, Handle: n.ingest.Handle, Templates: templates, Sequences: sequences, Stranger: n.stranger,
		Payload: payload, PayloadPorts: names.Ports(),
	})
	if err != nil {
		return nil, err
	}
	n.ingest.counts, n.ingest.mark = n.collector.Counts, n.collector.Mark
	return n, nil
}

func ledgerDir(dir string) string { return filepath.Join(dir, "ledger") }

func (n *node) close() error {
	if n.ledger != nil {
		return n.ledger.Close()
	}
	return nil
}

// emit makes findings of the profile events of the ledger, in one batch, durable
// before the incidents are stored. One that is alone is not recorded if that
// fails; of several, which are only ever found anew, some may be then.
func (n *node) emit(ctx context.Context, events ...profile.Event) error {
	if err := n.record(ctx, events); err != nil {
		return err
	}
	return n.told.add(events...)
}

func (n *node) record(ctx context.Context, events []profile.Event) error {
	if len(events) == 1 {
		_, _, err := n.ledger.EventNow(ctx, events[0].Kind, cmp.Or(events[0].Actor, "tidemark"), events[0].Body)
		return err
	}
	for _, e := range events {
		if err := n.ledger.Event(e.Kind, cmp.Or(e.Actor, "tidemark"), e.Body); err != nil {
			return err
		}
	}
	_, err := n.ledger.SealEvents(ctx)
	return err
}

// work runs the way of the flows while source feeds it, then drains: what was
// taken is sealed, committed and scored before work returns. When ctx ends,
// source is expected to return; the drain then has drainTime.
func (n *node) work(ctx context.Context, source func(ctx context.Context) error) error {
	draining, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	group, stages := errgroup.WithContext(draining)
	committing, stopCommitting := context.WithCancel(stages)
	scoring, stopScoring := context.WithCancel(stages)
	feeding, stopFeeding := context.WithCancel(ctx)
	defer stopFeeding()
	context.AfterFunc(stages, stopFeeding) // a stage that failed stops the source

	group.Go(func() error { return n.ledger.Run(committing) })
	group.Go(func() error { return n.ingest.Run(stages) })
	scored := make(chan struct{})
	group.Go(func() error { defer close(scored); n.score(scoring); return nil })
	told := make(chan struct{})
	group.Go(func() error { defer close(told); n.identities.Run(scoring); return nil })
	sorted := make(chan struct{})
	group.Go(func() error { defer close(sorted); n.nameAndSort(scoring); return nil })
	group.Go(func() error {
		defer stopCommitting()
		err := source(feeding)
		if ctx.Err() != nil {
			defer time.AfterFunc(drainTime, abandon).Stop()
		}
		flushed := n.ingest.Flush(stages)
		n.ingest.Close()
		stopScoring()
		<-scored
		<-sorted
		<-told
		return errors.Join(err, flushed, n.drain(stages))
	})
	err := group.Wait()
	if draining.Err() != nil {
		err = errors.Join(err, fmt.Errorf("the drain took longer than %s: sealed batches stay in the spool and are committed at the next start", span(drainTime)))
	}
	return err
}

// drainTime bounds how long a stopped daemon goes on working.
const drainTime = time.Minute

// drain commits what is sealed, scores it, and commits what scoring found.
func (n *node) drain(ctx context.Context) error {
	if err := n.ledger.Drain(ctx); err != nil {
		return fmt.Errorf("commit what is sealed: %w", err)
	}
	if err := n.identities.save(ctx); err != nil {
		return err
	}
	for range 2 { // the second time nothing is new: then the hours that have not ended are judged too
		if err := n.scoreOnce(ctx); err != nil {
			return fmt.Errorf("score the last flows: %w", err)
		}
	}
	if err := n.names.Flush(ctx); err != nil {
		return err
	}
	n.classify(ctx, classifyDrain)
	if _, err := n.ledger.SealEvents(ctx); err != nil {
		return fmt.Errorf("seal the last events: %w", err)
	}
	return n.ledger.Drain(ctx)
}

// scoreIdle is how long an attack that ends all traffic may wait to be judged.
const scoreIdle = 30 * time.Second

// The statements of the detectors cost as much to plan for one batch as for ten.
// A scorer that is busy therefore rests scoreRest times as long as it worked, so that
// it takes a twentieth of a CPU, but never so long that an alert comes later than 10
// seconds after the datagram: only batches that fill in less than the five seconds
// they may be open wait at all.
const (
	scoreRest    = 20
	scoreRestMax = 4 * time.Second
)

// score scores after each commit. A failure costs only time: the scorer goes on
// from where it was when the next batch is committed.
func (n *node) score(ctx context.Context) {
	idle := time.NewTicker(scoreIdle)
	defer idle.Stop()
	for {
		quiet := false
		select {
		case <-ctx.Done():
			return
		case <-n.committed:
			idle.Reset(scoreIdle)
		case <-idle.C: // detectors that wait for time to pass are asked in a lull too
			quiet = n.cfg.live()
		}
		began := time.Now()
		err := n.scoreOnce(ctx)
		if err == nil && quiet {
			err = n.scoreLull(ctx)
		}
		if ctx.Err() == nil {
			n.fault(err)
			n.rules(n.scorer.DetectorStatus().Err())
			if err != nil {
				n.log.Error().Err(err).Msg("score new flows: tried again with the next batch")
			}
		}
		if sleep(ctx, min(scoreRest*time.Since(began), scoreRestMax)) != nil {
			return
		}
	}
}

// scoreLull tells of exporters when nothing comes from any of them.
func (n *node) scoreLull(ctx context.Context) error {
	n.scoring.Lock()
	defer n.scoring.Unlock()
	return n.scorer.Lull(ctx, time.Now())
}

// scoreOnce scores what is new by the time of the flows themselves.
func (n *node) scoreOnce(ctx context.Context) error {
	n.scoring.Lock()
	defer n.scoring.Unlock()
	if err := n.told.flush(); err != nil {
		return err
	}
	return n.scorer.Score(ctx, time.Time{})
}
