// Package watch follows the sources that tell who has which address, and
// publishes what they tell as a binding.Table.
//
// Read looks at every file once, Run again whenever one changes, and asks
// routers at their interval. A source that fails keeps what it told before.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/enrich/binding"
	"tidemark/enrich/inventory"
	"tidemark/enrich/source"
)

const (
	// poll is how often files are looked at. A change is seen by size, time and
	// inode, so appending, rewriting and rotation are all the same.
	poll = 2 * time.Second

	// A file is read again at most so often that reading takes 1 in 20.
	readShare = 20

	maxFile = 64 << 20

	maxFaults = 40 // of an inventory that are named, those of its lines included

	// DefaultInterval is the time between two questions to a router.
	DefaultInterval = 5 * time.Minute
)

// File is a file of leases or neighbours.
type File struct {
	Path   string
	Format source.Kind
	VRF    uint32
}

// Config names the sources.
type Config struct {
	Inventories []string
	Files       []File
	Routers     []source.Router
	Interval    time.Duration // between two questions to a router; 0 = DefaultInterval
}

// Status is how a source does.
type Status struct {
	Source   string    `json:"source"` // path or address
	Format   string    `json:"format"`
	Read     time.Time `json:"read"` // last time it could be read
	Bindings int       `json:"bindings"`
	Bad      int       `json:"bad"`    // lines of the last reading that could not be used
	Faults   []string  `json:"faults"` // the first of them
	Error    string    `json:"error"`  // why it cannot be read now
}

// Deps are what a Watch is given. Publish is called by one goroutine at a time,
// with a table each time something changed.
type Deps struct {
	Publish    func(*binding.Table)
	Log        zerolog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

// Watch follows the sources of a site.
type Watch struct {
	config Config
	deps   Deps
	files  []*followed
	told   []map[place]uint64 // by each inventory: the MAC of an address
	book   *binding.Book

	mu     sync.Mutex
	status []Status           // of the files, then the routers
	items  [][]inventory.Item // of each inventory
	ports  []stations         // of each router

	bindings prometheus.Gauge
	dropped  prometheus.Gauge
	reads    *prometheus.CounterVec
	bad      *prometheus.CounterVec
}

// followed is a file as it was when it was last looked at.
type followed struct {
	path      string
	kind      source.Kind // "" = an inventory
	vrf       uint32
	was       identity
	notBefore time.Time // too early to read it again
}

// place is an address in a VRF.
type place struct {
	addr netip.Addr
	vrf  uint32
}

// identity of a file's content, as far as one can tell without reading it.
type identity struct {
	size         int64
	modified     time.Time
	device, node uint64
}

// New does no work.
func New(c Config, d Deps) *Watch {
	if c.Interval <= 0 {
		c.Interval = DefaultInterval
	}
	w := &Watch{
		config: c, deps: d, book: binding.NewBook(),
		bindings: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tidemark_watch_bindings", Help: "Addresses with their MACs that sources beside the flows have told."}),
		dropped:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "tidemark_watch_bindings_dropped", Help: "Bindings that found no room."}),
		reads:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidemark_watch_reads_total", Help: "Readings of sources, by how they went."}, []string{"format", "result"}),
		bad:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidemark_watch_bad_lines_total", Help: "Lines of sources that could not be used."}, []string{"format"}),
	}
	d.Registerer.MustRegister(w.bindings, w.dropped, w.reads, w.bad)
	w.told = make([]map[place]uint64, len(c.Inventories))
	w.items = make([][]inventory.Item, len(c.Inventories))
	w.ports = make([]stations, len(c.Routers))
	for _, path := range c.Inventories {
		w.files = append(w.files, &followed{path: path})
		w.status = append(w.status, Status{Source: path, Format: "inventory"})
	}
	for _, f := range c.Files {
		w.files = append(w.files, &followed{path: f.Path, kind: f.Format, vrf: f.VRF})
		w.status = append(w.status, Status{Source: f.Path, Format: string(f.Format)})
	}
	for _, r := range c.Routers {
		w.status = append(w.status, Status{Source: r.Address, Format: "snmp"})
	}
	return w
}

// Status says how each source does.
func (w *Watch) Status() []Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Status{}, w.status...)
}

// Items are the devices of all inventories.
func (w *Watch) Items() []inventory.Item {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Concat(w.items...)
}

// Read looks at every file and publishes what changed.
func (w *Watch) Read() {
	changed := false
	for i := range w.files {
		changed = w.look(i) || changed
	}
	w.publish(changed)
}

func (w *Watch) publish(changed bool) {
	w.bindings.Set(float64(w.book.Len()))
	w.dropped.Set(float64(w.book.Dropped()))
	if changed {
		w.deps.Publish(w.book.Table())
	}
}

// Run follows the sources until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	files := time.NewTicker(poll)
	defer files.Stop()
	tidy := time.NewTicker(time.Hour)
	defer tidy.Stop()
	answers := make(chan answer)
	var asking sync.WaitGroup
	defer asking.Wait()
	for i, r := range w.config.Routers {
		asking.Go(func() { w.ask(ctx, i, r, answers) })
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-files.C:
			w.Read()
		case a := <-answers:
			if a.err == nil {
				w.setPorts(a.router, a.reading.Ports)
			}
			w.publish(w.take(len(w.files)+a.router, a.reading, a.err))
		case <-tidy.C:
			w.book.Forget(w.deps.Now().UnixNano())
			w.publish(true)
		}
	}
}

// answer is what a router said.
type answer struct {
	router  int
	reading source.Reading
	err     error
}

func (w *Watch) ask(ctx context.Context, router int, r source.Router, out chan<- answer) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		a := answer{router: router}
		a.reading, a.err = source.Walk(ctx, r)
		select {
		case <-ctx.Done():
			return
		case out <- a:
		}
		again.Reset(w.config.Interval)
	}
}

// look reads a file if it has changed, and says whether that changed the book.
func (w *Watch) look(i int) bool {
	f := w.files[i]
	now := w.deps.Now()
	if now.Before(f.notBefore) {
		return false
	}
	is, err := identify(f.path)
	if err != nil {
		f.was = identity{}
		return w.take(i, source.Reading{}, err)
	}
	if is == f.was {
		return false
	}
	if is.size > maxFile { // not read at each look only to say so
		return w.take(i, source.Reading{}, fmt.Errorf("read %s: it has %d MiB, want %d at most", f.path, is.size>>20, maxFile>>20))
	}
	begun := time.Now()
	text, err := readFile(f.path)
	if err != nil {
		return w.take(i, source.Reading{}, err)
	}
	f.was = is // as it was before: if it has grown meanwhile it is read again
	var r source.Reading
	if f.kind != "" {
		r, err = source.Parse(f.kind, text)
		for k := range r.Bindings {
			r.Bindings[k].VRF = f.vrf
		}
	} else {
		var list inventory.List
		list, err = inventory.Read(text)
		r = source.Reading{Bindings: list.Bindings(), Faults: list.Faults, Bad: list.Bad}
		w.settle(i, &r)
		if err == nil {
			w.keep(i, list.Items)
		}
	}
	f.notBefore = now.Add(readShare * time.Since(begun))
	return w.take(i, r, err)
}

// keep remembers the devices of an inventory.
func (w *Watch) keep(i int, items []inventory.Item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.items[i] = items
	var gateways []uint64
	for _, item := range slices.Concat(w.items...) {
		if item.Gateway {
			gateways = append(gateways, item.MACs...)
		}
	}
	w.book.SetGateways(gateways)
}

func identify(path string) (identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}, err
	}
	if !info.Mode().IsRegular() {
		return identity{}, fmt.Errorf("read %s: it is no regular file", path)
	}
	is := identity{size: info.Size(), modified: info.ModTime()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		is.device, is.node = uint64(s.Dev), s.Ino //nolint:unconvert // Dev is narrower elsewhere
	}
	return is, nil
}

// readFile reads as much of a file as is used.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("read %s: it has more than %d MiB", path, maxFile>>20)
	}
	return text, err
}

// take enters what a source told, or that it failed. Only changes are logged.
func (w *Watch) take(i int, r source.Reading, err error) (changed bool) {
	w.mu.Lock()
	s := &w.status[i]
	before := *s
	if err != nil {
		s.Error = reason(err)
	} else {
		s.Read, s.Bindings, s.Bad, s.Faults, s.Error = w.deps.Now(), len(r.Bindings), r.Bad, nil, ""
		for _, f := range r.Faults {
			s.Faults = append(s.Faults, f.String())
		}
	}
	after := *s
	w.mu.Unlock()

	log := w.deps.Log.With().Str("source", after.Source).Str("format", after.Format).Logger()
	if err != nil {
		w.reads.WithLabelValues(after.Format, "failed").Inc()
		if before.Error != after.Error {
			log.Error().Msgf("read who has which address: %s; what it told before stays in force", after.Error)
		}
		return false
	}
	w.reads.WithLabelValues(after.Format, "done").Inc()
	w.bad.WithLabelValues(after.Format).Add(float64(after.Bad))
	if after.Bad != before.Bad && after.Bad > 0 {
		log.Warn().Int("bad_lines", after.Bad).Strs("first", after.Faults[:min(len(after.Faults), 3)]).Msg("some lines cannot be used; the rest is")
	} else if before.Error != "" || before.Read.IsZero() {
		log.Info().Int("bindings", after.Bindings).Msg("reads who has which address")
	}
	return w.enter(i, r)
}

// reason is an error in few words: what is missing or may not be read.
func reason(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "no such file"
	case errors.Is(err, os.ErrPermission):
		return "no permission: let this user read it"
	}
	return err.Error()
}

// settle takes out of the reading of an inventory what one before it in the
// configuration says otherwise.
func (w *Watch) settle(i int, r *source.Reading) {
	r.Bindings = slices.DeleteFunc(r.Bindings, func(b binding.Interval) bool {
		for j, other := range w.told[:i] {
			if mac, ok := other[place{b.Addr, b.VRF}]; ok && mac != b.MAC {
				if r.Bad++; len(r.Faults) >= maxFaults {
					return true
				}
				r.Faults = append(r.Faults, source.Fault{Reason: fmt.Sprintf("%s is %s here and %s in %s, which holds", b.Addr, inventory.MAC(b.MAC), inventory.MAC(mac), w.config.Inventories[j])})
				return true
			}
		}
		return false
	})
}

func (w *Watch) enter(i int, r source.Reading) (changed bool) {
	now := w.deps.Now().UnixNano()
	for _, b := range r.Bindings {
		changed = w.book.Add(b, now) || changed
	}
	if i >= len(w.told) {
		return changed
	}
	w.told[i] = map[place]uint64{}
	for _, b := range r.Bindings {
		w.told[i][place{b.Addr, b.VRF}] = b.MAC
	}
	w.book.Withdraw(binding.Inventory, func(b binding.Interval) bool {
		for _, list := range w.told {
			if list[place{b.Addr, b.VRF}] == b.MAC {
				return true
			}
		}
		return false
	}, now)
	return true // its gateways may be others
}
