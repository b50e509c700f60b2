package anchor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"tidemark/storage"
)

const (
	// verifyWindow is how many batches are looked up in the database at once.
	verifyWindow = 4096
	// defaultAnchorWithin is how long after its seal a batch may be without an
	// anchor and count as pending. Twice the longest interval between anchors.
	defaultAnchorWithin = 2 * time.Hour
)

// VerifyOptions say what to verify and against what. Dir and DB are required.
type VerifyOptions struct {
	Dir string // of the ledger, <data>/ledger
	DB  *storage.DB

	// Trust is what is known of the log beforehand; without it a log that was
	// made anew passes, and the report says so.
	Trust *Trust
	// Chain is where the log is anchored; nil: nothing counts as anchored.
	Chain ChainReader
	// Claimed is the contract the configuration names. It is used without Trust
	// only, and FromBlock with it.
	Claimed   *ChainLog
	FromBlock uint64

	// Sealed lists the batches that wait in the spool, sealed and not yet in the
	// log. Their rows are no intruders. nil: there is no spool.
	Sealed func() ([]uint64, error)

	// Batches [From, To) are read row by row; To 0: to the end. The headers of
	// all are checked in any case.
	From, To uint64
	// Wanted narrows that down by what the header of a batch says; nil: all.
	Wanted func(h *Header) bool

	// Alone: the database is of this log only, so rows of another were added.
	Alone bool

	AnchorWithin time.Duration            // 0: two hours
	Settle       time.Duration            // how long a collector at work may take to finish what it began; 0: 20 s
	Parallel     int                      // batches read at once; 0: one per CPU, at most 4
	Now          func() time.Time         // nil: time.Now
	Progress     func(done, total uint64) // leaves; may be nil; called by one goroutine at a time
}

// Verify compares a log with its rows, its signature and its anchors: every
// row is read out of the database and hashed anew. It takes no lock and writes
// nothing, and may stand beside a running collector.
//
// An error means that verification could not be done: ErrUnreachable if the
// database did not answer. Whatever is wrong with the ledger is in the report.
func Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	v, err := newVerification(o)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	defer v.ledger.Close()
	if err := v.run(ctx); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return v.report, nil
}

// verification is one run of Verify.
type verification struct {
	VerifyOptions
	ledger *Reader // only its files are used: it refuses a broken log, we describe it
	log    uint64
	began  time.Time
	report *Report

	size      uint64 // batches in the log when verification began
	claimed   claims
	retention retention
	site      string // by the genesis
	total     uint64 // leaves to be read

	mu         sync.Mutex // guards the report and what follows while batches are read in parallel
	done       uint64     // leaves
	otherSites uint64     // batches of another site than the genesis names
	notCopied  uint64     // batches the table headers lacks
	removals   []Removal
}

func newVerification(o VerifyOptions) (*verification, error) {
	if o.DB == nil {
		return nil, errors.New("no database given")
	}
	public, err := os.ReadFile(filepath.Join(o.Dir, publicFile))
	if err != nil {
		return nil, fmt.Errorf("read public log key: %w; is %s the ledger of a data directory?", err, o.Dir)
	}
	ledger, err := newReader(osFiles{}, o.Dir, os.O_RDONLY, strings.TrimSpace(string(public)))
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Parallel <= 0 {
		o.Parallel = min(runtime.GOMAXPROCS(0), 4)
	}
	if o.AnchorWithin <= 0 {
		o.AnchorWithin = defaultAnchorWithin
	}
	if o.Settle <= 0 {
		o.Settle = defaultSettle
	}
	if o.Progress == nil {
		o.Progress = func(uint64, uint64) {}
	}
	id := ledger.LogID()
	return &verification{VerifyOptions: o, ledger: ledger, log: ledger.ID(), began: o.Now(), report: &Report{
		LogID: fmt.Sprintf("%x", id), Origin: ledger.Origin(), OriginChecked: o.Trust != nil, Faults: []Fault{}, Ranges: []Range{},
	}}, nil
}

// run verifies. The order matters while a collector is at work: it appends
// headers before it signs and anchors them, and stores rows before it appends
// their header. So the chain is read first, then the checkpoint, then the size
// of the log, and what the log must hold is there; rows are read after that,
// and rows beyond the log are looked up in the spool last.
func (v *verification) run(ctx context.Context) error {
	v.checkOrigin()
	v.askChain(ctx)
	v.readCheckpoint()
	size, err := sizeOf(v.ledger.headers)
	if err != nil {
		return err
	}
	v.size = uint64(size) / HeaderSize
	if v.To == 0 || v.To > v.size {
		v.To = v.size
	}
	if v.From > v.To {
		return fmt.Errorf("batches [%d, %d): the log has %d", v.From, v.To, v.size)
	}
	if err := v.walkHeaders(); err != nil {
		return err
	}
	v.compareRoots()
	if err := v.checkEthBlocks(ctx); err != nil {
		return err
	}
	if err := v.readGenesis(ctx); err != nil {
		return err
	}
	if err := v.checkBatches(ctx); err != nil {
		return err
	}
	if err := v.checkBeyond(ctx); err != nil {
		return err
	}
	if err := v.checkOthers(ctx); err != nil {
		return err
	}
	if err := v.checkAlerts(ctx); err != nil {
		return err
	}
	v.bracket(ctx)
	v.finish(ctx)
	return ctx.Err()
}

// wanted says whether the rows of a batch are to be read.
func (v *verification) wanted(s *slot) bool {
	if s.at < v.From || s.at >= v.To {
		return false
	}
	return v.Wanted == nil || s.err != nil || v.Wanted(&s.h)
}

// partial says whether only a part of the log is read row by row.
func (v *verification) partial() bool { return v.From > 0 || v.To < v.size || v.Wanted != nil }

// ReceivedWithin selects batches with rows received in [since, until), and empty
// ones sealed then. A zero time is open.
func ReceivedWithin(since, until time.Time) func(h *Header) bool {
	return func(h *Header) bool {
		first, last := h.MinReceived, h.MaxReceived
		if h.Rows == 0 {
			first, last = h.Sealed, h.Sealed
		}
		return (since.IsZero() || last >= since.UnixNano()) && (until.IsZero() || first < until.UnixNano())
	}
}

// checkOrigin compares the key in the ledger's directory with the trusted one.
func (v *verification) checkOrigin() {
	t := v.Trust
	if t == nil || t.Origin == v.ledger.Origin() && t.Key.Equal(v.ledger.PublicKey()) {
		return
	}
	id := v.ledger.LogID()
	v.report.add(Fault{Kind: OriginDiffers, Detail: fmt.Sprintf("this is log %x of %q, the trust file names log %x of %q: the history was made anew, or the trust file is of another collector",
		id, v.ledger.Origin(), t.LogID, t.Origin)})
}

func (v *verification) finish(ctx context.Context) {
	r := v.report
	r.Size, r.Seconds = v.size, v.Now().Sub(v.began).Seconds()
	r.sortFaults()
	for i := range r.Ranges {
		g := &r.Ranges[i]
		g.SealedFrom, g.SealedTo = spellTime(g.from), spellTime(g.to)
	}
	r.Removed = mergeRemovals(v.removals)
	if erasureStarted(v.Dir) {
		r.Notes = append(r.Notes, "an erasure has begun and not ended: the collector carries it on when it is started")
	}
	if v.otherSites > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%s of another site than the genesis names, %q; no hash covers the column site", are(v.otherSites, "batch"), v.site))
	}
	if slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Batch != nil && f.Class == Integrity }) {
		v.noteMutations(ctx)
	}
	if r.Development {
		r.Warning = DevelopmentWarning
	}
}
