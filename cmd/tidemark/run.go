package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"tidemark/anchor/witness"
	"tidemark/collector"
	"tidemark/profile"
	"tidemark/profile/notify"
	"tidemark/storage"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "collect, learn, alert and anchor until stopped",
		Description: `Listens for flow exports on UDP 2055, 4739 and 6343 (any protocol on any port) and
keeps everything in the data directory. Stop it with Ctrl-C or SIGTERM: what was
received is then stored before it ends.

   tidemark run --dev-chain                     with a local development chain
   tidemark --config /etc/tidemark.yaml run     as a service`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dev-chain", Usage: "run an Anvil node beside the collector and anchor there; it protects against nobody who controls this machine"},
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			cfg, err := LoadConfig(c.String("config"))
			if err != nil {
				return err
			}
			d := &daemon{cfg: cfg, dir: c.String("data-dir"), log: newLogger(cfg.Log, c.App.ErrWriter), metrics: prometheus.NewRegistry()}
			limitGarbage()
			d.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
			return d.run(c.Context, c.Bool("dev-chain"))
		},
	}
}

// limitGarbage lets garbage grow to a tenth of what is in use instead of as much
// again: most of what is in use are batches, which hold no pointers and are used
// again and again, so that collecting is cheap. GOGC, if set, goes before.
func limitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(10)
	}
}

func engineCommand() *cli.Command {
	return &cli.Command{
		Name:        "engine",
		Usage:       "the embedded ClickHouse engine of a daemon (started by `tidemark run`)",
		Hidden:      true,
		Description: "Serves the database of the data directory on engine.sock until standard input closes.",
		Flags:       []cli.Flag{&cli.StringFlag{Name: "data-dir"}, &cli.StringFlag{Name: "memory", Value: "0"}},
		Action: func(c *cli.Context) error {
			if err := wantFlag(c, "data-dir"); err != nil {
				return err
			}
			memory, err := strconv.ParseUint(c.String("memory"), 10, 64)
			if err != nil {
				return usageError{fmt.Errorf("--memory: got %q, want octets", c.String("memory"))}
			}
			return storage.ServeEngine(context.WithoutCancel(c.Context), storage.EngineOptions{
				DataDir: c.String("data-dir"), MemoryLimit: memory, Parent: os.Stdin,
				Log: newLogger(LogConfig{Level: "info", Format: "json"}, c.App.ErrWriter),
			})
		},
	}
}

// daemon is `tidemark run`.
type daemon struct {
	cfg       Config
	dir       string
	log       zerolog.Logger
	metrics   *prometheus.Registry
	health    health
	node      *node
	chain     *chainSide
	keys      chainKeys
	witnesses *witness.Witnesses // nil: none

	notifier *notify.Notifier
}

// run starts every part from the bottom up, works until ctx ends, and stops
// them from the top down: sockets, sequencer, ledger, publisher, engine, chain.
func (d *daemon) run(ctx context.Context, devChain bool) (err error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w; name one with --data-dir where this user may write", err)
	}
	if d.keys, err = takeKeys(d.cfg.Chain); err != nil {
		return err
	}
	below, stopBelow := context.WithCancel(context.WithoutCancel(ctx)) // outlives the work above
	base, below := errgroup.WithContext(below)
	defer func() {
		stopBelow()
		err = errors.Join(err, base.Wait())
	}()

	if err := d.startEngine(ctx, base, below); err != nil {
		return err
	}
	db, err := storage.Open(ctx, d.cfg.storage(d.dir, d.log))
	if err != nil {
		return engineError(d.dir, err)
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()

	d.chain, err = openChain(d, devChain)
	if err != nil {
		return err
	}
	if err := d.chain.startNode(ctx, base, below); err != nil {
		return err
	}
	d.node, err = openNode(ctx, d.cfg, d.dir, db, nodeDeps{genesis: d.chain.genesis(), finalized: d.chain.finalized, log: d.log, metrics: d.metrics})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.node.close()) }()
	d.node.ingest.room = d.room()
	d.node.ingest.fault = func(err error) { d.health.set("sealing", err) }
	d.node.fault = func(err error) { d.health.set("scoring", err) }
	d.node.rules = func(err error) { d.health.set("detectors", err) }
	if err := d.node.recordConfiguration(ctx, actor("")); err != nil {
		return err
	}
	if err := d.chain.openPublisher(ctx, d.node.ledger); err != nil {
		return err
	}
	base.Go(func() error { return d.chain.publish(below) })
	if d.witnesses, err = d.openWitnesses(); err != nil {
		return err
	}
	base.Go(func() error { return d.cosign(below) })
	if d.notifier, err = notifier(d.cfg, d.dir, d.log, d.metrics); err != nil {
		return err
	}
	d.node.told.pass = func(e profile.Event) error { return tell(d.notifier, e) }
	d.node.warn = d.notifier.Enqueue
	base.Go(func() error { return d.notifier.Run(below) })

	if err := d.node.collector.Listen(); err != nil {
		return err
	}
	if err := d.serve(base, below); err != nil {
		return err
	}
	base.Go(func() error { d.retain(below); return nil })
	base.Go(func() error { d.enforce(below); return nil })
	base.Go(func() error { d.eraseWhenStarted(below); return nil })
	base.Go(func() error { d.watchInput(below); return nil })
	base.Go(func() error { d.watchHealth(below); return nil })
	_ = notifySystemd("READY=1") // no systemd, no harm
	d.log.Info().Str("version", version).Str("data_dir", d.dir).Str("site", d.cfg.Site).
		Msgf("tidemark is running; point the export of routers at it and see who sends: tidemark --data-dir %s exporters", d.dir)

	// A part below that fails ends the work above, which then drains.
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	context.AfterFunc(below, stopWorking)
	context.AfterFunc(working, func() {
		_ = notifySystemd("STOPPING=1")
		d.log.Info().Msg("stopping: storing what was received")
	})
	if err := d.node.work(working, d.node.collector.Run); err != nil {
		return err
	}
	d.log.Info().Msg("all that was received is stored")
	return nil
}

// startEngine runs the embedded engine as a child, unless a server is configured.
func (d *daemon) startEngine(ctx context.Context, base *errgroup.Group, below context.Context) error {
	if d.cfg.Storage.URL != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start engine: %w", err)
	}
	engine, err := storage.StartEngine(ctx, storage.EngineOptions{
		DataDir: d.dir, MemoryLimit: uint64(d.cfg.Storage.Memory), Log: d.log, Registerer: d.metrics,
		Command: []string{self, "engine", "--data-dir", d.dir, "--memory", strconv.FormatUint(uint64(d.cfg.Storage.Memory), 10)},
	})
	if errors.Is(err, storage.ErrLocked) { // nothing is out of reach: the call is wrong
		return usageError{err}
	}
	if err != nil {
		return engineError(d.dir, err)
	}
	base.Go(func() error { return engine.Run(below) })
	return nil
}

// serve opens the control socket and the monitoring port.
func (d *daemon) serve(base *errgroup.Group, below context.Context) error {
	control, err := listenUnix(d.dir, controlSocket)
	if err != nil {
		return err
	}
	base.Go(func() error { return serveHTTP(below, control, d.controlHandler()) })
	if d.cfg.HTTP.Listen == "" {
		return nil
	}
	if host, _, err := net.SplitHostPort(d.cfg.HTTP.Listen); err == nil {
		if a, err := netip.ParseAddr(host); err != nil || !a.IsLoopback() {
			d.log.Warn().Str("listen", d.cfg.HTTP.Listen).Msg("metrics are reachable from other machines, without a password")
		}
	}
	monitoring, err := net.Listen("tcp", d.cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("listen for /metrics on %s: %w; choose another http.listen, or an empty one to do without", d.cfg.HTTP.Listen, err)
	}
	base.Go(func() error { return serveHTTP(below, monitoring, monitoringHandler(&d.health, d.metrics)) })
	return nil
}

func (d *daemon) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/exporters", func(w http.ResponseWriter, _ *http.Request) {
		c := d.node.collector
		answer(w, collectorStatus{Exporters: c.Exporters(), Listening: c.Listening(), Totals: c.Totals(), Record: d.node.recordStatus()}, nil)
	})
	mux.HandleFunc("POST /v1/replay", func(w http.ResponseWriter, r *http.Request) {
		speed, err := strconv.ParseFloat(r.URL.Query().Get("speed"), 64)
		if err != nil || speed < 0 {
			answer(w, nil, usageError{fmt.Errorf("replay: speed %q: want a number, 0 or more", r.URL.Query().Get("speed"))})
			return
		}
		summary, err := d.node.collector.Replay(r.Context(), collector.ReplayOptions{Reader: r.Body, Name: r.URL.Query().Get("name"), Speed: speed})
		out := replayAnswer{Summary: summary}
		if err != nil {
			out.Error = err.Error()
		}
		answer(w, out, nil)
	})
	mux.HandleFunc("POST /v1/erase", func(w http.ResponseWriter, r *http.Request) { d.handleErase(w, r) })
	mux.HandleFunc("POST /v1/device", func(w http.ResponseWriter, r *http.Request) { d.handleDevice(w, r) })
	mux.HandleFunc("GET /v1/sources", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.node.identities.watch.Status(), nil) })
	mux.HandleFunc("GET /v1/ports/{mac}", func(w http.ResponseWriter, r *http.Request) {
		mac, err := strconv.ParseUint(r.PathValue("mac"), 16, 48)
		if err != nil {
			answer(w, nil, usageError{fmt.Errorf("ports: mac %q: want 12 hex digits", r.PathValue("mac"))})
			return
		}
		answer(w, d.node.identities.watch.Ports(mac), nil)
	})
	mux.HandleFunc("POST /v1/ack", func(w http.ResponseWriter, r *http.Request) { d.handleAck(w, r) })
	mux.HandleFunc("POST /v1/exclusions", func(w http.ResponseWriter, r *http.Request) { d.handleExclusions(w, r) })
	mux.HandleFunc("POST /v1/contain", func(w http.ResponseWriter, r *http.Request) { d.handleContain(w, r) })
	mux.HandleFunc("GET /v1/notify", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.notifier.Status(), nil) })
	mux.HandleFunc("POST /v1/kind", func(w http.ResponseWriter, r *http.Request) { d.handleKind(w, r) })
	mux.HandleFunc("GET /v1/anchor", func(w http.ResponseWriter, r *http.Request) {
		status, err := d.chain.status()
		answer(w, status, err)
	})
	mux.HandleFunc("POST /v1/anchor", func(w http.ResponseWriter, r *http.Request) {
		var req anchorRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&req); err != nil {
			answer(w, nil, usageError{fmt.Errorf("anchor: %w", err)})
			return
		}
		status, err := d.anchorNow(r.Context(), req.Final)
		answer(w, status, err)
	})
	return mux
}

// workersHold is longer than a worker keeps rows to itself (200 ms, see
// collector.Config.FlushInterval), so that "now" covers what came just before.
const workersHold = 500 * time.Millisecond

// anchorNow commits and scores what is sealed, and anchors it.
func (d *daemon) anchorNow(ctx context.Context, final bool) (anchorStatus, error) {
	if err := sleep(ctx, workersHold); err != nil {
		return anchorStatus{}, err
	}
	if err := d.node.ingest.Flush(ctx); err != nil {
		return anchorStatus{}, err
	}
	if err := d.node.drain(ctx); err != nil {
		return anchorStatus{}, err
	}
	d.cosignNow(ctx)
	if d.witnesses != nil && d.chain.publisher.Load() == nil {
		return d.chain.status() // witnesses are all there is
	}
	if err := d.chain.flush(ctx, final); err != nil {
		return anchorStatus{}, err
	}
	return d.chain.status()
}

// room says when the disk is as good as full. It asks at most once a second:
// Handle calls it for every batch of every worker, one at a time.
func (d *daemon) room() func() error {
	var last error
	var asked time.Time
	budget := storage.DiskBudget{MinFree: uint64(d.cfg.Storage.MinFree)}
	return func() error {
		if time.Since(asked) < time.Second {
			return last
		}
		asked, last = time.Now(), nil
		usage, err := storage.DiskUsageOf(context.Background(), d.dir, nil, budget, asked)
		if err == nil && usage.State == storage.DiskFull {
			last = fmt.Errorf("the disk of %s has %s left, storage.min_free is %s: free some, or lower storage.retention", d.dir, octets(usage.Free), d.cfg.Storage.MinFree)
		}
		d.health.set("disk", last)
		return last
	}
}
