package anchor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/rs/zerolog"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain"
	"tidemark/anchor/chain/chaintest"
	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
	"tidemark/storage/storagetest"
)

// recordedSite is a ledger with its database, both real, and a committed log:
// genesis, 700 rows, nothing, 300 rows, two events, one row, 256 rows.
type recordedSite struct {
	t      testing.TB
	dir    string
	db     *storage.DB
	ledger *Ledger
	stop   func()
	trust  *Trust
	chain  ChainReader
}

const (
	bigBatch   = 1 // 700 rows, three blocks
	emptyBatch = 2
	nextBatch  = 3 // 300 rows
	eventBatch = 4
	oneBatch   = 5 // one row
	fullBatch  = 6 // 256 rows, one block
)

func siteRows(seed uint64, n int, at time.Time) *flow.Batch {
	r := rand.New(rand.NewPCG(seed, 7))
	b := new(flow.Batch)
	for range n {
		i := b.NextRow()
		setRow(b, i, r.Uint64)
		b.Protocol[i], b.Transport[i] = flow.IPFIX, flow.UDP
		b.TimeReceived[i] = at.UnixNano() + int64(i)
		b.TimeFlowStart[i] = at.UnixNano() - int64(r.IntN(1e9))
		b.TimeFlowEnd[i] = at.UnixNano() - int64(r.IntN(1e6))
		b.SrcAddr[i] = [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: byte(i)}
		b.SrcIdentity[i], b.DstIdentity[i], b.Initiator[i], b.Scope[i] = 0, 0, 0, 0
		b.EventStart[i], b.EventEnd[i] = b.TimeFlowStart[i], b.TimeFlowEnd[i]
		if i%3 != 0 {
			b.Extend(flow.ExtensionKey(0, 15), []byte{192, 0, 2, byte(i)})
			b.Extend(flow.ExtensionKey(6871, 40), []byte{1, 2})
			b.Extend(flow.ExtensionKey(6871, 40), []byte{byte(i)})
		}
		b.EndRow()
	}
	return b
}

// midday keeps a test's rows on one day whenever it runs.
func midday(now time.Time) time.Time {
	if now.UTC().Truncate(24*time.Hour) != now.Add(time.Minute).UTC().Truncate(24*time.Hour) {
		return now.Add(-time.Minute)
	}
	return now
}

func openLedger(t testing.TB, dir string, db *storage.DB, origin string) (*Ledger, func()) {
	t.Helper()
	spool, err := storage.OpenSpool(filepath.Join(dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), Options{Dir: filepath.Join(dir, "ledger"), Origin: origin, Site: "lab", Version: "test",
		DB: db, Spool: spool, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return l, stop
}

func newSite(t testing.TB) *recordedSite {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel() // a database of its own
	}
	s := &recordedSite{t: t, dir: t.TempDir(), db: storagetest.Open(t)}
	s.ledger, s.stop = openLedger(t, s.dir, s.db, "example.com/lab")
	s.record(s.ledger)
	s.trust = &Trust{Origin: s.ledger.Reader().Origin(), LogID: s.ledger.Reader().LogID(), Key: s.ledger.Reader().PublicKey()}
	return s
}

func (s *recordedSite) record(l *Ledger) {
	s.t.Helper()
	ctx, at := s.t.Context(), midday(time.Now())
	counts := exporterCounts()
	for i, n := range []int{700, 0, 300, -1, 1, 256} {
		var err error
		if n < 0 {
			if err = l.Event("alert", "tidemark", map[string]any{"device": "camera-1"}); err == nil {
				_, _, err = l.EventNow(ctx, "acknowledgement", "root", nil)
			}
		} else {
			_, err = l.Seal(ctx, siteRows(uint64(i), n, at), counts)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if err := l.Drain(ctx); err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := l.Checkpoint(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *recordedSite) log() uint64 { return s.ledger.ID() }

func spooled(dir string) func() ([]uint64, error) {
	return func() ([]uint64, error) { return storage.SpoolIndexes(dir) }
}

func (s *recordedSite) options() VerifyOptions {
	return VerifyOptions{Dir: filepath.Join(s.dir, "ledger"), DB: s.db, Trust: s.trust, Chain: s.chain, Sealed: spooled(filepath.Join(s.dir, "spool")), Settle: time.Millisecond}
}

func (s *recordedSite) verify() *Report {
	s.t.Helper()
	return s.verifyWith(s.options())
}

func (s *recordedSite) verifyWith(o VerifyOptions) *Report {
	s.t.Helper()
	r, err := Verify(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// clean fails the test unless verification finds nothing wrong.
func (s *recordedSite) clean(when string) *Report {
	s.t.Helper()
	r := s.verify()
	if len(r.Faults) > 0 {
		s.t.Fatalf("%s: false alarm:\n%s", when, text(r))
	}
	return r
}

// exec runs SQL, {log} standing for the log's number.
func (s *recordedSite) exec(sql string, args ...any) {
	s.t.Helper()
	sql = strings.ReplaceAll(fmt.Sprintf(sql, args...), "{log}", fmt.Sprint(s.log()))
	if err := s.db.Conn().Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// keep remembers the rows of flows and events; restore puts them back. The
// views on flows go: they cost time and are none of the ledger's.
func (s *recordedSite) keep() (restore func()) {
	dropViews(s.t, s)
	partitions := map[string]string{"flows": midday(time.Now()).UTC().Format("20060102"), "events": "all"}
	for table := range partitions {
		s.exec("CREATE TABLE kept_%s AS %s", table, table)
		s.exec("INSERT INTO kept_%s SELECT * FROM %s", table, table)
	}
	return func() {
		s.t.Helper()
		for table, id := range partitions {
			s.exec("ALTER TABLE %s REPLACE PARTITION ID '%s' FROM kept_%s", table, id, table)
		}
	}
}

func text(r *Report) string {
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

// has returns the first fault of a kind in a batch, nil if there is none. A
// negative batch matches any.
func (r *Report) has(kind Kind, batch int) *Fault {
	for i := range r.Faults {
		f := &r.Faults[i]
		if f.Kind == kind && (batch < 0 || f.Batch != nil && f.holds(uint64(batch))) {
			return f
		}
	}
	return nil
}

func (f *Fault) holds(batch uint64) bool {
	return *f.Batch == batch || f.LastBatch != nil && *f.Batch <= batch && batch <= *f.LastBatch
}

// onAnvil puts the site's log on a development chain and anchors it.
func (s *recordedSite) onAnvil() (node *chaintest.Node, anchor func(size uint64)) {
	s.t.Helper()
	node = chaintest.Start(s.t, "--slots-in-an-epoch", "1")
	client := node.Dial()
	contract := node.Deploy()
	publisher := node.Accounts()[0]
	logID := s.ledger.Reader().LogID()
	abi := binding.NewTidemarkLog()
	s.transact(node, publisher, contract, abi.PackOpen(logID, publisher, common.Address{}))
	s.chain = NewChainReader(client)
	s.trust.Chain = &ChainLog{ChainID: client.ID(), Contract: contract, ID: chain.LogKey(logID, publisher, common.Address{})}
	anchored := uint64(0)
	anchor = func(size uint64) {
		s.t.Helper()
		r := s.ledger.Reader()
		root, err := r.Root(size)
		if err != nil {
			s.t.Fatal(err)
		}
		var proof []merkle.Hash
		if anchored > 0 {
			if proof, err = r.Consistency(anchored, size); err != nil {
				s.t.Fatal(err)
			}
		}
		s.transact(node, publisher, contract, abi.PackAnchor(s.trust.Chain.ID, size, root, proof))
		anchored = size
	}
	return node, anchor
}

func (s *recordedSite) transact(node *chaintest.Node, from, to common.Address, data []byte) {
	s.t.Helper()
	if r := node.Transact(from, &to, data); r.Status != 1 {
		s.t.Fatalf("transaction failed: %+v", r)
	}
}
