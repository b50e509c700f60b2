package anchor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
	"tidemark/storage/storagetest"
)

// storable is a batch of random rows that the table can hold: protocols and the
// like are of their enumerations. They are of a hundred devices, so that the
// views have as much to do as on a real site.
func storable(seed uint64, n int) *flow.Batch {
	b := dayBatch(seed, n)
	protocols := []flow.Protocol{flow.NetFlowV1, flow.NetFlowV5, flow.NetFlowV7, flow.NetFlowV9, flow.IPFIX, flow.SFlowV5}
	for i := range n {
		b.Protocol[i] = protocols[int(b.Protocol[i])%len(protocols)]
		b.Transport[i] %= flow.File + 1
		b.SrcIdentity[i] %= flow.IdentityGateway + 1
		b.DstIdentity[i] %= flow.IdentityGateway + 1
		b.Initiator[i] %= flow.InitiatorDst + 1
		b.Scope[i] %= flow.ScopeTransit + 1
		b.SrcDevice[i], b.DstDevice[i], b.ServicePort[i] = b.SrcDevice[i]%100, 0, b.ServicePort[i]%20
		b.SamplerAddress[i], b.InIf[i], b.OutIf[i], b.Proto[i] = [16]byte{15: 1}, b.InIf[i]%2, b.OutIf[i]%2, b.Proto[i]%2
		b.DstAddr[i] = [16]byte{10: 0xff, 11: 0xff, 12: 198, 13: 51, 14: 100, 15: b.DstAddr[i][0]}
		b.SrcAddr[i] = [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: byte(b.SrcDevice[i])}
		b.Direction[i], b.SamplingRate[i] = b.Direction[i]%2, 1
		b.EventStart[i], b.EventEnd[i] = b.TimeReceived[i]-int64(time.Minute), b.TimeReceived[i]
	}
	return b
}

// spoiling is a database that spoils blocks on their way in.
type spoiling struct {
	rows
	spoil func(table string, block []byte) []byte
}

func (s spoiling) Insert(ctx context.Context, table, token string, block []byte) error {
	return s.rows.Insert(ctx, table, token, s.spoil(table, bytes.Clone(block)))
}

func openReal(t *testing.T, dir string, db *storage.DB, spoil func(table string, block []byte) []byte) *Ledger {
	t.Helper()
	spool, err := storage.OpenSpool(filepath.Join(dir, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: filepath.Join(dir, "ledger"), Origin: testOrigin, Site: "site-1", DB: db, Spool: spool, Log: zerolog.Nop()}
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if spoil != nil {
		l.rows = spoiling{l.rows, spoil}
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// run commits what was sealed.
func run(t *testing.T, l *Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	if err := l.Drain(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// audit reads every batch back and compares roots and counts.
func audit(t *testing.T, l *Ledger, db *storage.DB) {
	t.Helper()
	r := l.Reader()
	d := &database{db: db}
	var flows uint64
	headers, err := r.Headers(0, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	for i := range headers {
		h := &headers[i]
		key, err := r.SaltKey(h.Index)
		if err != nil {
			t.Fatal(err)
		}
		leaves := make([]merkle.Hash, h.Rows)
		if h.Flags&Events != 0 {
			var bodies [][]byte
			if bodies, err = d.ReadEvents(t.Context(), r.ID(), h.Index, h.Rows); err == nil {
				err = EventLeaves(leaves, bodies, key)
			}
		} else {
			var b, quarantined flow.Batch
			flows += h.Rows
			err = errors.Join(db.ReadFlowsFrom(t.Context(), storage.Flows, r.ID(), h.Index, &b),
				db.ReadFlowsFrom(t.Context(), storage.Quarantine, r.ID(), h.Index, &quarantined))
			b.Append(&quarantined, 0, quarantined.Len())
			if err == nil {
				err = Leaves(leaves, &b, key)
			}
		}
		if err != nil {
			t.Errorf("batch %d of %d rows: %v", h.Index, h.Rows, err)
		} else if root := merkle.Root(leaves); root != h.RowRoot {
			t.Errorf("batch %d: root %x, want %x", h.Index, root, h.RowRoot)
		}
	}
	for query, want := range map[string]uint64{
		"SELECT (SELECT count() FROM flows) + (SELECT count() FROM flows_quarantine)": flows,
		"SELECT count() FROM headers":                       r.Size(),
		"SELECT count() FROM headers WHERE sealed > 0":      r.Size(),
		"SELECT sum(row_count) FROM headers":                headers[len(headers)-1].FirstSeq + headers[len(headers)-1].Rows,
		"SELECT max(batch_index) + 1 FROM headers":          r.Size(),
		"SELECT uniqExact(leaf, row_root) FROM headers":     r.Size(),
		"SELECT count() FROM events WHERE kind = 'genesis'": 1,
	} {
		var got uint64
		if err := db.Conn().QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", query, got, err, want)
		}
	}
}

func TestLedger_OnTheEngine(t *testing.T) {
	db := storagetest.Open(t)
	l := openReal(t, t.TempDir(), db, nil)
	for i, n := range []int{1, 0, 300, 5000} {
		if _, err := l.Seal(t.Context(), storable(uint64(i), n), exporterCounts()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := l.EventNow(t.Context(), "approve", "alice", map[string]any{"note": "\x00 \u2028 '\\"}); err != nil {
		t.Fatal(err)
	}
	run(t, l)
	audit(t, l, db)
	var actor string
	var at time.Time
	if err := db.Conn().QueryRow(t.Context(), "SELECT actor, time FROM events WHERE kind = 'approve'").Scan(&actor, &at); err != nil || actor != "alice" || time.Since(at).Abs() > time.Hour {
		t.Errorf("event by %q at %v, %v", actor, at, err)
	}
}

// A bit that flips between hashing and inserting does not reach the log; the
// rows as they were sealed do.
func bitFlippedOnTheWayToTheEngine(t *testing.T) {
	db := storagetest.Open(t)
	l := openReal(t, t.TempDir(), db, func(table string, block []byte) []byte {
		if table == tableFlows {
			at := bytes.Index(block, []byte("src_mac\x06UInt64")) + len("src_mac\x06UInt64")
			block[at+8*17] ^= 1
		}
		return block
	})
	for i := range uint64(2) {
		if _, err := l.Seal(t.Context(), storable(i, 400), nil); err != nil {
			t.Fatal(err)
		}
	}
	run(t, l)
	audit(t, l, db)
	var n uint64
	if err := db.Conn().QueryRow(t.Context(), "SELECT count() FROM flows").Scan(&n); err != nil || n != 0 {
		t.Errorf("flows holds %d rows, %v, want the spoiled ones gone", n, err)
	}
}

// Rows that come back at other positions, as many as there should be, are not
// the ones that were sealed, and asking again would not change that.
func TestLedger_RowsAtOtherPositionsGoToQuarantine(t *testing.T) {
	db := storagetest.Open(t)
	l := openReal(t, t.TempDir(), db, func(table string, block []byte) []byte {
		if table == tableFlows {
			at := bytes.Index(block, []byte("pos\x06UInt32")) + len("pos\x06UInt32")
			block[at+4*17] = 18 // 17 is missing, 18 there twice
		}
		return block
	})
	if _, err := l.Seal(t.Context(), storable(1, 100), nil); err != nil {
		t.Fatal(err)
	}
	run(t, l)
	audit(t, l, db)
	var n uint64
	if err := db.Conn().QueryRow(t.Context(), "SELECT count() FROM flows_quarantine").Scan(&n); err != nil || n != 100 {
		t.Errorf("flows_quarantine holds %d rows, %v, want 100", n, err)
	}
}

// What the engine refuses for good is recorded all the same.
func TestLedger_RefusedBlockIsQuarantined(t *testing.T) {
	db := storagetest.Open(t)
	if err := db.Conn().Exec(t.Context(), "ALTER TABLE flows ADD CONSTRAINT small CHECK dst_port < 10"); err != nil {
		t.Fatal(err)
	}
	l := openReal(t, t.TempDir(), db, nil)
	if _, err := l.Seal(t.Context(), storable(1, 100), nil); err != nil {
		t.Fatal(err)
	}
	run(t, l)
	audit(t, l, db)
	var n uint64
	if err := db.Conn().QueryRow(t.Context(), "SELECT count() FROM flows_quarantine").Scan(&n); err != nil || n != 100 {
		t.Errorf("flows_quarantine holds %d rows, %v, want 100", n, err)
	}
}

// childDir makes this test binary the child of TestLedger_SurvivesKill.
const childDir = "TIDEMARK_ANCHOR_TEST_CHILD"

// TestChild seals and commits until it is killed, or checks what is there.
func TestChild(t *testing.T) {
	dir, check := os.LookupEnv(childDir)
	if !check {
		t.Skip("is the child of TestLedger_SurvivesKill")
	}
	dir, check = strings.CutSuffix(dir, ":check")
	db, err := storage.Open(t.Context(), storage.Options{DataDir: dir, Library: storagetest.Library(t), MemoryLimit: 1 << 30, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := openReal(t, dir, db, nil)
	if check {
		run(t, l)
		audit(t, l, db)
		if _, _, err := l.Checkpoint(); err != nil {
			t.Error(err)
		}
		fmt.Printf("\nsize %d\n", l.Reader().Size())
		if err := db.Close(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	go func() {
		if err := l.Run(t.Context()); err != nil {
			fmt.Println("\nrun:", err)
			os.Exit(1)
		}
	}()
	fmt.Println("\nready")
	for i := uint64(0); ; i++ {
		if i%8 == 7 {
			if err := l.Event("alert", "tidemark", map[string]any{"n": i}); err != nil {
				t.Fatal(err)
			}
			if _, err := l.SealEvents(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if i%5 == 4 {
			if _, _, err := l.Checkpoint(); err != nil && !errors.Is(err, ErrNoBatch) {
				t.Fatal(err)
			}
		}
		index, err := l.Seal(t.Context(), storable(i, 300*int(i%3)+1), exporterCounts())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\nsealed %d\n", index)
		for l.Backlog() > 4 {
			time.Sleep(time.Millisecond)
		}
	}
}

// kill -9 at any moment: what was sealed is in the log and in the database, once.
func survivesKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six processes")
	}
	kills := 6
	if os.Getenv("TIDEMARK_SOAK") != "" {
		kills = 1000
	}
	storagetest.Library(t)
	dir := t.TempDir()
	child := func(ctx context.Context, dir string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$", "-test.v", "-test.timeout=5m")
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, childDir) }), childDir+"="+dir)
		return cmd
	}
	var sealed uint64
	for kill := range kills {
		cmd := child(t.Context(), dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var timer *time.Timer
		var text strings.Builder
		left := rand.IntN(10) // batches until it is time to kill
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			line := lines.Text()
			fmt.Fprintln(&text, line)
			var index uint64
			if n, _ := fmt.Sscanf(line, "sealed %d", &index); n == 1 {
				sealed = max(sealed, index+1)
				left--
			}
			if left <= 0 && timer == nil && (line == "ready" || index > 0) {
				timer = time.AfterFunc(time.Duration(rand.IntN(200))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
		}
		err = cmd.Wait()
		if timer == nil || err == nil || err.Error() != "signal: killed" {
			t.Fatalf("child %d: %v\n%s", kill, err, text.String())
		}
	}
	text, err := child(t.Context(), dir+":check").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var size uint64
	if at := bytes.Index(text, []byte("\nsize ")); at < 0 {
		t.Fatalf("no size in\n%s", text)
	} else if _, err := fmt.Sscanf(string(text[at+1:]), "size %d", &size); err != nil || size < sealed {
		t.Fatalf("the log has %d batches, %v, but %d were sealed", size, err, sealed)
	}
	t.Logf("%d batches sealed before %d kills, %d in the log", sealed, kills, size)
}

// spent is a database whose engine died, at the first insert under each token,
// after it wrote the token down and before the rows were there.
type spent struct {
	rows
	db   *storage.DB
	seen map[string]bool
}

func (s spent) Insert(ctx context.Context, table, token string, block []byte) error {
	if first := strings.Count(token, ":") == 1; first && !s.seen[token] && (table == tableFlows || table == tableEvents) {
		s.seen[token] = true
		err := s.rows.Insert(ctx, table, token, block)
		if err == nil {
			err = s.db.Conn().Exec(ctx, "ALTER TABLE "+table+" DELETE WHERE batch_index = (SELECT max(batch_index) FROM "+table+") SETTINGS mutations_sync = 2")
		}
		if err != nil {
			return err
		}
	}
	return s.rows.Insert(ctx, table, token, block) // which the engine takes for a repeat
}

func TestLedger_TokenThatADeadEngineSpentCostsNoRow(t *testing.T) {
	t.Parallel()
	db := storagetest.Open(t)
	l := openReal(t, t.TempDir(), db, nil)
	seen := map[string]bool{}
	l.rows = spent{l.rows, db, seen}
	for i := range 3 {
		if _, err := l.Seal(t.Context(), storable(uint64(i), 500), nil); err != nil {
			t.Fatal(err)
		}
	}
	run(t, l)
	audit(t, l, db)
	var flows, quarantined uint64
	if err := db.Conn().QueryRow(t.Context(), "SELECT (SELECT count() FROM flows), (SELECT count() FROM flows_quarantine)").Scan(&flows, &quarantined); err != nil || flows != 1500 || quarantined != 0 || len(seen) < 4 {
		t.Errorf("%d flows, %d in quarantine, %d tokens spent, %v: want 1500, none and 4 or more", flows, quarantined, len(seen), err)
	}
}
