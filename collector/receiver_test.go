package collector_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"tidemark/collector"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// What scripts/bench-peers.sh sets to run TestBenchReceiver as a program.
const (
	receiverAddress = "TIDEMARK_BENCH_RECEIVER"      // where to listen
	receiverFile    = "TIDEMARK_BENCH_RECEIVER_FILE" // where to write Native blocks; empty = rows are dropped
)

// TestBenchReceiver is the collector by itself: it receives, decodes and accounts
// until its standard input closes, and writes what it counted, and the CPU time it
// took, as one line of JSON on standard output.
func TestBenchReceiver(t *testing.T) {
	address := os.Getenv(receiverAddress)
	if address == "" {
		t.Skipf("set %s to an address to receive there", receiverAddress)
	}
	handle := func(context.Context, *flow.Batch) error { return nil }
	if name := os.Getenv(receiverFile); name != "" {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		handle = writer(f)
	}
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
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	report.CPUSeconds = time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		t.Fatal(err)
	}
}

// writer encodes each batch as the block that storage would insert.
func writer(w io.Writer) func(context.Context, *flow.Batch) error {
	var mu sync.Mutex
	var block []byte
	index := uint64(0)
	return func(_ context.Context, b *flow.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		index++
		block = storage.AppendFlowsBlock(block[:0], 1, "bench", index, b)
		_, err := w.Write(block)
		return err
	}
}
