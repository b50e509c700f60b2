package anchor

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain/chaintest"
	"tidemark/anchor/merkle"
)

// leavesOfLog are the leaf hashes of the first size headers.
func (s *recordedSite) leavesOfLog(size uint64) (leaves []merkle.Hash) {
	s.t.Helper()
	headers, err := s.ledger.Reader().Headers(0, size)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range headers {
		leaves = append(leaves, headers[i].Leaf())
	}
	return leaves
}

// steal anchors with the publisher's key and says whether the contract took it.
func (s *recordedSite) steal(node *chaintest.Node, size uint64, root merkle.Hash, proof []merkle.Hash) bool {
	s.t.Helper()
	contract := common.Address(s.trust.Chain.Contract)
	data := binding.NewTidemarkLog().PackAnchor(s.trust.Chain.ID, size, root, proof)
	return node.Transact(node.Accounts()[0], &contract, data).Status == 1
}

// randomEditsThroughTheEngine alters 200 rows at random, in statements of twenty,
// and wants each named and no other.
func randomEditsThroughTheEngine(t *testing.T) {
	const rounds, each = 10, 20
	s := newSite(t)
	names, types := hashedColumns(t, s)
	restore := s.keep()
	r := rand.New(rand.NewPCG(11, 12))
	for round := range rounds {
		rows := r.Perm(700)[:each]
		changes := map[string]string{}
		for _, pos := range rows {
			i := r.IntN(len(names))
			if names[i] == "time_received_ns" { // the partition key: UPDATE refuses it
				i++
			}
			name := names[i]
			if changes[name] == "" {
				changes[name] = name
			}
			changes[name] = fmt.Sprintf("if(pos = %d, %s, %s)", pos, another(t, name, types[i]), changes[name])
		}
		var list []string
		for name, change := range changes {
			list = append(list, name+" = "+change)
		}
		s.exec("ALTER TABLE flows UPDATE %s WHERE log = {log} AND batch_index = %d SETTINGS mutations_sync = 2", strings.Join(list, ", "), bigBatch)
		f := s.verify().has(RowAltered, bigBatch)
		if f == nil {
			t.Fatalf("round %d: nothing found", round)
		}
		slices.Sort(rows)
		if got := fmt.Sprint(f.Rows); got != fmt.Sprint(rows) || f.MoreRows != 0 {
			t.Errorf("round %d: names rows %s, want %v", round, got, rows)
		}
		restore()
	}
	s.clean("after putting every row back")
}

// backupAndRestoreNeverAlarm copies the ledger's directory and the tables, as a
// backup of the whole data directory does, and verifies the copy.
func backupAndRestoreNeverAlarm(t *testing.T) {
	s := newSite(t)
	s.stop()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(s.dir)); err != nil { // which makes files with mode 0644
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(copied, "ledger", keyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	dropViews(t, s)
	for _, table := range []string{"flows", "events", "headers"} {
		s.exec("CREATE TABLE backup_%s AS %s", table, table)
		s.exec("INSERT INTO backup_%s SELECT * FROM %s ORDER BY rand()", table, table)
		s.exec("DROP TABLE %s SYNC", table)
		s.exec("RENAME TABLE backup_%s TO %s", table, table)
	}
	s.dir = copied
	s.clean("restored from a backup, rows in another order")
	s.ledger, s.stop = openLedger(t, s.dir, s.db, "")
	s.clean("opened by a ledger")
}
