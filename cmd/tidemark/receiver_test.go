package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"tidemark/anchor"
	"tidemark/anchor/merkle"
	"tidemark/collector"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// What scripts/bench.sh and scripts/bench-peers.sh set to run TestBenchReceiver
// as a program.
const (
	receiverAddress = "TIDEMARK_BENCH_RECEIVER"       // where to listen
	receiverMode    = "TIDEMARK_BENCH_RECEIVER_MODE"  // how far the line goes: decode, encode, hash or spool
	receiverSpool   = "TIDEMARK_BENCH_RECEIVER_SPOOL" // directory for mode spool
)

// TestBenchReceiver is the line from the socket to the encoded block by itself:
// it receives, decodes and accounts until its standard input closes, and writes
// what it counted, and the CPU time it took, as one line of JSON on standard
// output. Batches are as long as the daemon's.
func TestBenchReceiver(t *testing.T) {
	address := os.Getenv(receiverAddress)
	if address == "" {
		t.Skipf("set %s to an address to receive there", receiverAddress)
	}
	mode := os.Getenv(receiverMode)
	l := &line{hash: mode == "hash" || mode == "spool"}
	handle := l.handle
	switch mode {
	case "decode":
		handle = func(context.Context, *flow.Batch) error { return nil }
	case "encode", "hash":
	case "spool":
		var err error
		if l.spool, err = storage.OpenSpool(os.Getenv(receiverSpool)); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("%s: got %q, want decode, encode, hash or spool", receiverMode, mode)
	}
	if mode != "decode" {
		if err := l.warm(); err != nil {
			t.Fatal(err)
		}
	}
	before := cpuTime(t)
	c, err := collector.New(collector.Config{Listen: []string{address}, Workers: 1},
		collector.Deps{Log: zerolog.New(os.Stderr), Handle: handle})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := l.finish(); err != nil {
		t.Fatal(err)
	}
	var report struct {
		Flows       uint64  `json:"flows"`
		Datagrams   uint64  `json:"datagrams"`
		KernelDrops uint64  `json:"kernel_drops"`
		Lost        uint64  `json:"lost"` // by sequence numbers, in their units
		CPUSeconds  float64 `json:"cpu_seconds"`
	}
	sockets := c.Counts()[0]
	report.Datagrams, report.KernelDrops = sockets.Received, sockets.Shed
	for _, e := range c.Exporters() {
		report.Flows += e.Flows
		report.Lost += e.Lost
	}
	report.CPUSeconds = (cpuTime(t) - before).Seconds()
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		t.Fatal(err)
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// line does to rows what sealing does: gathers them, hashes the leaves, builds
// the tree, encodes the block, and writes it to the spool if there is one.
type line struct {
	hash  bool
	spool *storage.Spool

	mu     sync.Mutex
	open   flow.Batch
	index  uint64
	leaves []merkle.Hash
	nodes  []merkle.Hash
	root   merkle.Hash
	meta   []byte
	block  []byte
}

func (l *line) handle(_ context.Context, b *flow.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open.Reserve(anchor.MaxRows)
	for begin := 0; begin < b.Len(); {
		end := min(b.Len(), begin+anchor.MaxRows-l.open.Len())
		l.open.Append(b, begin, end)
		begin = end
		if l.open.Len() == anchor.MaxRows {
			if err := l.seal(); err != nil {
				return err
			}
		}
	}
	return nil
}

// warm has the memory of the longest batches touched once: what follows is as in
// a daemon that has run for a while.
func (l *line) warm() error {
	rows := &flow.Batch{}
	for range 4096 {
		rows.NextRow()
		for id := range uint16(8) {
			rows.Extend(flow.ExtensionKey(0, id), []byte{1, 2, 3, 4})
		}
		rows.EndRow()
	}
	for range 2 * anchor.MaxRows / rows.Len() {
		if err := l.handle(context.Background(), rows); err != nil {
			return err
		}
	}
	return nil
}

func (l *line) finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seal()
}

func (l *line) seal() error {
	n := l.open.Len()
	if n == 0 {
		return nil
	}
	l.index++
	if l.hash {
		var key anchor.SaltKey
		_, _ = rand.Read(key[:]) // never fails
		l.leaves = slices.Grow(l.leaves[:0], n)[:n]
		if err := anchor.Leaves(l.leaves, &l.open, key); err != nil {
			return err
		}
		l.nodes = merkle.Blocks(l.nodes[:0], l.leaves)
		l.root = merkle.Root(l.nodes)
	}
	l.block = storage.AppendFlowsBlock(l.block[:0], 1, "bench", l.index, &l.open)
	l.open.Reset()
	if l.spool == nil {
		return nil
	}
	l.meta = append(l.meta[:0], l.root[:]...)
	if err := l.spool.Append(l.index, 1, l.meta, l.block); err != nil {
		return err
	}
	return l.spool.Remove(l.index)
}

// The line allocates nothing per flow: a batch of many costs what one of few does.
func TestLine_AllocatesNothingPerFlow(t *testing.T) {
	rows := &flow.Batch{}
	for i := range 4096 {
		r := rows.NextRow()
		rows.TimeReceived[r] = int64(i)
		if i%2 == 0 {
			rows.Extend(flow.ExtensionKey(0, 61), []byte{byte(i)})
		}
		rows.EndRow()
	}
	l := &line{hash: true}
	allocations := func(times int) float64 {
		return testing.AllocsPerRun(5, func() {
			for range times {
				_ = l.handle(t.Context(), rows)
			}
			_ = l.finish()
		})
	}
	few, many := allocations(1), allocations(16)
	// One worker, with its buffer and cipher, per 4,096 rows of leaves.
	if many > few+16*6 {
		t.Errorf("%.0f allocations for %d flows, %.0f for %d", many, 16*rows.Len(), few, rows.Len())
	}
	t.Logf("%.0f allocations for %d flows, %.0f for %d", many, 16*rows.Len(), few, rows.Len())
}
