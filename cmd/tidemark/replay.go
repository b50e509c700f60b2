package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"

	"tidemark/collector"
)

func replayCommand() *cli.Command {
	return &cli.Command{
		Name:      "replay",
		Usage:     "feed captures of flow exports through the collector",
		ArgsUsage: "FILE...",
		Description: `Reads pcap and pcapng files (gzip too) that hold export datagrams and treats each as
if it came in now; flow times stand as exported. A capture of ordinary traffic has
no exports in it: turn it into one with softflowd first.

   tidemark replay exports.pcap
   tidemark replay --speed 1 exports.pcap          at the pace it was captured
   tidemark replay --output json exports.pcap      the account as one JSON object`,
		Flags: []cli.Flag{
			&cli.Float64Flag{Name: "speed", Usage: "`N` seconds of the capture per second, 0 = as fast as it goes"},
			&cli.BoolFlag{Name: "no-progress", Usage: "no progress bar"},
			outputFlag(pageForms),
		},
		Action: replay,
	}
}

func replay(c *cli.Context) error {
	if c.NArg() == 0 {
		return usageError{errors.New("replay: got no file, want at least one capture; see `tidemark replay --help`")}
	}
	if c.Float64("speed") < 0 {
		return usageError{fmt.Errorf("--speed: got %v, want 0 or more", c.Float64("speed"))}
	}
	files := c.Args().Slice()
	var total int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return usageError{fmt.Errorf("replay: %w", err)}
		}
		if info.IsDir() {
			return usageError{fmt.Errorf("replay: %s is a directory, want capture files, such as %s/*.pcap", f, strings.TrimRight(f, "/"))}
		}
		total += info.Size()
	}
	bar := newBar(c, total, "replay")
	var summary collector.Summary
	var err error
	if daemon := newDaemonClient(c.String("data-dir")); daemon.running(c.Context) {
		summary, err = replayInDaemon(c, daemon, files, bar)
	} else {
		summary, err = replayHere(c, files, bar)
	}
	bar.finish()
	if err != nil && summary.Datagrams == 0 {
		return err
	}
	if shown := page(c, summary, func(w io.Writer) error { return summaryText(w, summary) }); shown != nil {
		return shown
	}
	return err
}

// replayHere runs the whole way of a flow in this process.
func replayHere(c *cli.Context, files []string, bar *progress) (summary collector.Summary, err error) {
	cfg, err := LoadConfig(c.String("config"))
	if err != nil {
		return summary, err
	}
	err = openStore(c, cfg, func(s *store) error {
		return s.withNode(c.Context, func(ctx context.Context, n *node) (err error) {
			summary, err = n.collector.Replay(ctx, collector.ReplayOptions{Files: files, Speed: c.Float64("speed"), Progress: bar.set})
			return err
		})
	})
	return summary, err
}

// replayInDaemon hands the files to the daemon, which alone may write to the
// ledger while it runs.
func replayInDaemon(c *cli.Context, daemon *daemonClient, files []string, bar *progress) (sum collector.Summary, err error) {
	sum.Undecodable = map[string]uint64{}
	var errs []error
	var done int64
	for _, name := range files {
		f, err := os.Open(filepath.Clean(name))
		if err != nil {
			return sum, err
		}
		query := url.Values{"name": {name}, "speed": {strconv.FormatFloat(c.Float64("speed"), 'g', -1, 64)}}
		resp, err := daemon.call(c.Context, http.MethodPost, "/v1/replay", query, &countingReader{f, func(n int64) { done += n; bar.set(done, 0) }})
		f.Close()
		if err != nil {
			return sum, err
		}
		var answer replayAnswer
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil {
			return sum, fmt.Errorf("read the daemon's account of %s: %w", name, err)
		}
		addSummary(&sum, answer.Summary)
		if answer.Error != "" {
			errs = append(errs, errors.New(answer.Error))
		}
	}
	return sum, errors.Join(errs...)
}

// replayAnswer is the daemon's account of one file.
type replayAnswer struct {
	Summary collector.Summary `json:"summary"`
	Error   string            `json:"error,omitempty"`
}

func addSummary(sum *collector.Summary, s collector.Summary) {
	sum.Datagrams += s.Datagrams
	sum.Octets += s.Octets
	sum.Flows += s.Flows
	sum.OptionsRecords += s.OptionsRecords
	sum.Templates += s.Templates
	sum.CounterSamples += s.CounterSamples
	for reason, n := range s.Undecodable {
		sum.Undecodable[reason] += n
	}
}

func summaryText(w io.Writer, s collector.Summary) error {
	_, err := fmt.Fprintf(w, "%s flows from %s datagrams (%s); %s options records, %s templates, %s counter samples; undecodable: %s\n",
		count(s.Flows), count(s.Datagrams), octets(s.Octets), count(s.OptionsRecords), count(s.Templates), count(s.CounterSamples), reasons(s.Undecodable))
	return err
}

type countingReader struct {
	r    io.Reader
	read func(n int64)
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.read(int64(n))
	return n, err
}

// progress is a bar on stderr, if that is a terminal.
type progress struct{ bar *progressbar.ProgressBar }

func newBar(c *cli.Context, total int64, what string) *progress {
	if terminalWidth(c.App.ErrWriter) == 0 || c.Bool("no-progress") {
		return &progress{}
	}
	return &progress{progressbar.NewOptions64(total, progressbar.OptionSetWriter(c.App.ErrWriter), progressbar.OptionSetDescription(what),
		progressbar.OptionThrottle(barInterval), progressbar.OptionClearOnFinish(), progressbar.OptionEnableColorCodes(false))}
}

const barInterval = 100 * time.Millisecond

func (p *progress) set(done, _ int64) {
	if p.bar != nil {
		_ = p.bar.Set64(done) // a bar that cannot be drawn is no reason to stop
	}
}

// of is set for a total that is known only on the way.
func (p *progress) of(done, total int64) {
	if p.bar != nil {
		p.bar.ChangeMax64(total)
	}
	p.set(done, total)
}

func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
