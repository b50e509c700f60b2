package chain_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain"
	"tidemark/anchor/chain/chaintest"
)

// designGas is the mean gas of an anchor over 30 anchors of growth 1 leaf to 1 %,
// by log size, as measured on the design's prototype.
var designGas = []struct {
	size uint64
	mean float64
}{{10, 43_048}, {1e3, 46_729}, {1e6, 58_748}, {1e9, 69_607}}

// mostGas is what no anchor may cost in a log of a billion headers.
const mostGas = 76_000

type gasRow struct {
	first, plusOne, low, high uint64
	mean, hashes              float64
}

// measureGas opens a log of this size and anchors 30 times.
func measureGas(t testing.TB, n *chaintest.Node, at common.Address, size uint64) gasRow {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, size))
	tree, publisher := uniformTree(), n.Accounts()[0]
	logID := [32]byte{31: byte(size % 251)}
	n.Transact(publisher, &at, logABI.PackOpen(logID, publisher, common.Address{9}))
	key := chain.LogKey(logID, publisher, common.Address{9})
	anchor := func(from, to uint64) (gas uint64, hashes int) {
		var path [][32]byte
		if from > 0 {
			path = tree.consistency(t, from, to)
		}
		r := n.Transact(publisher, &at, logABI.PackAnchor(key, to, tree.root(to), path))
		if r.Status != 1 {
			t.Fatalf("anchor %d to %d reverted", from, to)
		}
		return uint64(r.GasUsed), len(path)
	}
	row := gasRow{low: 1 << 62}
	row.first, _ = anchor(0, size)
	row.plusOne, _ = anchor(size, size+1)
	const anchors = 30
	now := size + 1
	for range anchors {
		to := now + 1 + rng.Uint64N(max(1, size/100))
		gas, hashes := anchor(now, to)
		now = to
		row.low, row.high = min(row.low, gas), max(row.high, gas)
		row.mean += float64(gas) / anchors
		row.hashes += float64(hashes) / anchors
	}
	return row
}

// TestGas_AnchorStaysWithinTheTable prints the gas table, which `make bench` shows,
// and holds it to the design's.
func TestGas_AnchorStaysWithinTheTable(t *testing.T) {
	n := chaintest.Start(t, "--hardfork", "prague")
	at := n.Deploy()
	table := "| log size | first | anchor, mean (min-max) | to the design's | proof hashes, mean | +1 leaf |\n|---|---|---|---|---|---|\n"
	for _, c := range designGas {
		r := measureGas(t, n, at, c.size)
		off := r.mean/c.mean - 1
		table += fmt.Sprintf("| %d | %d | %.0f (%d-%d) | %+.1f %% | %.1f | %d |\n", c.size, r.first, r.mean, r.low, r.high, 100*off, r.hashes, r.plusOne)
		if off < -0.05 || off > 0.05 || r.high > mostGas {
			t.Errorf("log of %d: gas of an anchor is %.0f in the mean and %d at most, want %.0f within 5 %% and %d", c.size, r.mean, r.high, c.mean, mostGas)
		}
	}
	publisher := n.Accounts()[0]
	deploy := n.Transact(publisher, nil, chain.DeployData()).GasUsed
	open := n.Transact(publisher, &at, logABI.PackOpen([32]byte{0xff}, publisher, common.Address{9})).GasUsed
	t.Logf("\n%s\nDeploy %d; open %d; anchorMany of 10 logs of a million headers: %d a log.", table, deploy, open, measureMany(t, n, at))
}

// measureMany anchors ten logs in one transaction and returns the gas for each.
func measureMany(t *testing.T, n *chaintest.Node, at common.Address) uint64 {
	t.Helper()
	const logs, from, to = 10, 1_000_000, 1_003_217
	tree, publisher := uniformTree(), n.Accounts()[1]
	checkpoints := func(size uint64, path [][32]byte) (out []binding.TidemarkLogCheckpoint) {
		for i := range byte(logs) {
			out = append(out, binding.TidemarkLogCheckpoint{Id: chain.LogKey([32]byte{i}, publisher, common.Address{}), Size: size, Root: tree.root(size), Proof: path})
		}
		return out
	}
	for i := range byte(logs) {
		n.Transact(publisher, &at, logABI.PackOpen([32]byte{i}, publisher, common.Address{}))
	}
	n.Transact(publisher, &at, logABI.PackAnchorMany(checkpoints(from, nil)))
	r := n.Transact(publisher, &at, logABI.PackAnchorMany(checkpoints(to, tree.consistency(t, from, to))))
	if r.Status != 1 {
		t.Fatal("anchorMany reverted")
	}
	return uint64(r.GasUsed) / logs
}

// BenchmarkAnchorGas reports gas per anchor; the time is Anvil's, not ours.
func BenchmarkAnchorGas(b *testing.B) {
	for _, c := range designGas {
		b.Run(fmt.Sprintf("size=%d", c.size), func(b *testing.B) {
			n := chaintest.Start(b, "--hardfork", "prague")
			at := n.Deploy()
			var r gasRow
			for b.Loop() {
				r = measureGas(b, n, at, c.size)
				b.StopTimer() // one log of a size per chain
				break
			}
			b.ReportMetric(r.mean, "gas/anchor")
			b.ReportMetric(float64(r.first), "gas/first")
			b.ReportMetric(float64(r.plusOne), "gas/+1leaf")
		})
	}
}
