package chain_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/chain"
	"tidemark/anchor/chain/chaintest"
)

// gasCeiling is the mean gas of an anchor over 30 anchors of growth 1 leaf to
// 1 %, by log size: what was measured on the design's prototype, plus 5 %.
var gasCeiling = []struct {
	size uint64
	mean float64
}{{10, 43_048 * 1.05}, {1e3, 46_729 * 1.05}, {1e6, 58_748 * 1.05}, {1e9, 69_607 * 1.05}}

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

// TestGas_AnchorStaysWithinTheTable prints the gas table and holds it to the design's.
func TestGas_AnchorStaysWithinTheTable(t *testing.T) {
	n := chaintest.Start(t, "--hardfork", "prague")
	at := n.Deploy()
	table := "log size    first   anchor mean (min-max)     hashes  +1 leaf\n"
	for _, c := range gasCeiling {
		r := measureGas(t, n, at, c.size)
		table += fmt.Sprintf("%-10d %6d  %8.0f (%d-%d)  %6.1f   %6d\n", c.size, r.first, r.mean, r.low, r.high, r.hashes, r.plusOne)
		if r.mean > c.mean {
			t.Errorf("log of %d: mean gas of an anchor is %.0f, want at most %.0f", c.size, r.mean, c.mean)
		}
	}
	publisher := n.Accounts()[0]
	deploy := n.Transact(publisher, nil, chain.DeployData()).GasUsed
	open := n.Transact(publisher, &at, logABI.PackOpen([32]byte{0xff}, publisher, common.Address{9})).GasUsed
	t.Logf("\n%sdeploy %d, open %d", table, deploy, open)
}

// BenchmarkAnchorGas reports gas per anchor; the time is Anvil's, not ours.
func BenchmarkAnchorGas(b *testing.B) {
	for _, c := range gasCeiling {
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
