package publish

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/chain/chaintest"
	"tidemark/anchor/chainproof"
)

// archiving is a world whose evidence is archived.
func archiving(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.cfg.Evidence = filepath.Join(w.cfg.Dir, "evidence")
	w.restart()
	return w
}

// proven reads evidence of an anchor as a verifier does.
func (w *world) proven(a *Anchor) (chainproof.Facts, error) {
	w.Helper()
	s := w.p.Status()
	_, f, err := chainproof.Archive{Dir: w.cfg.Evidence}.Read(s.Contract, s.LogKey, a.Size, &a.BlockHash)
	return f, err
}

func archived(n int) func(Status) bool {
	return func(s Status) bool { return s.Evidence.Archived == n && s.Evidence.Missing == 0 }
}

func TestArchive_EveryAnchorIsProvenOffline(t *testing.T) {
	w := archiving(t)
	var anchors []*Anchor
	for size := uint64(3); size <= 9; size += 3 {
		w.log.grow(3, 0)
		anchors = append(anchors, w.until("anchored", anchored(size)).Anchored)
	}
	s := w.until("archived", archived(3))
	if s.Evidence.WithoutState != 0 || s.Evidence.Error != "" {
		t.Errorf("status: %+v", s.Evidence)
	}
	w.node.Stop() // nobody has to be asked
	for _, a := range anchors {
		f, err := w.proven(a)
		if err != nil || f.Size != a.Size || f.Root != a.Root || !f.StateProven || f.BlockTime != a.Time.Unix() || f.Publisher != s.Publisher {
			t.Errorf("size %d: %+v, %v", a.Size, f, err)
		}
	}
	w.restart()
	if s := w.p.Status(); !archived(3)(s) {
		t.Errorf("after a restart: %+v", s.Evidence)
	}
	if info, err := os.Stat(filepath.Join(w.cfg.Evidence, "00000000000000000003.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info, err)
	}
}

func TestArchive_FollowsAReorganisation(t *testing.T) {
	w := archiving(t)
	w.node.Mine(5)
	w.log.grow(3, 0)
	first := w.until("anchored", anchored(3)).Anchored
	w.until("archived", archived(1))
	w.node.Call(nil, "evm_setAutomine", false)
	w.node.Call(nil, "anvil_reorg", 1, []any{})
	w.step()
	w.node.Call(nil, "evm_setAutomine", true)
	w.skew += 10 * time.Second
	w.node.Mine(1)
	second := w.until("anchored again", func(s Status) bool { return anchored(3)(s) && s.Anchored.BlockHash != first.BlockHash }).Anchored
	w.until("archived", archived(1))
	if _, err := w.proven(first); !errors.Is(err, chainproof.ErrNone) {
		t.Errorf("the block that is gone: %v, want ErrNone", err)
	}
	if _, err := w.proven(second); err != nil {
		t.Errorf("the block that came in its place: %v", err)
	}
}

// TestArchive_CatchesUp: anchors made without an archive, one whose file was
// stored when a crash kept the history from knowing, and an unwritable directory.
func TestArchive_CatchesUp(t *testing.T) {
	w := newWorld(t)
	for size := uint64(2); size <= 8; size += 2 {
		w.log.grow(2, 0)
		w.until("anchored", anchored(size))
	}
	if s := w.p.Status(); s.Evidence.Archived != 0 || s.Evidence.Missing != 4 {
		t.Errorf("without an archive: %+v", s.Evidence)
	}
	w.cfg.Evidence = filepath.Join(w.cfg.Dir, "evidence")
	if err := os.WriteFile(w.cfg.Evidence, nil, 0o600); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	w.restart()
	if err := w.step(); err != nil {
		t.Errorf("anchoring must not depend on the archive: %v", err)
	}
	if s := w.p.Status(); s.Evidence.Error == "" || s.Evidence.Missing != 4 {
		t.Errorf("unwritable: %+v", s.Evidence)
	}
	if err := os.Remove(w.cfg.Evidence); err != nil {
		t.Fatal(err)
	}
	history, err := os.ReadFile(filepath.Join(w.cfg.Dir, historyName))
	if err != nil {
		t.Fatal(err)
	}
	w.until("archived", archived(4))
	if err := os.WriteFile(filepath.Join(w.cfg.Dir, historyName), history, 0o600); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.until("archived again", archived(4))
}

func TestArchive_NodeThatPrunedTheState(t *testing.T) {
	w := archiving(t)
	proxy := chaintest.NewProxy(t, w.node.URL)
	w.cfg.RPC = []string{proxy.URL}
	w.restart()
	proxy.Tell("eth_getProof", func(json.RawMessage) string {
		return `!{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"missing trie node"}}`
	})
	w.log.grow(3, 0)
	w.until("anchored", anchored(3))
	if s := w.p.Status(); s.Evidence.Archived != 0 || s.Evidence.Error == "" {
		t.Errorf("a young block whose state is refused: %+v", s.Evidence)
	}
	w.node.Mine(stateServed)
	s := w.until("archived by the event alone", archived(1))
	if f, err := w.proven(s.Anchored); s.Evidence.WithoutState != 1 || err != nil || f.StateProven || f.Size != 3 {
		t.Errorf("status %+v, facts %+v, %v", s.Evidence, f, err)
	}
	if s.Anchored.Tx == (common.Hash{}) {
		t.Error("no transaction")
	}
}
