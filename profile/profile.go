// Package profile keeps what is known of each device of a site: the catalogue,
// its baseline, and the incidents that detectors raise against it.
//
// The aggregates it reads (contacts, edges, volumes, devices) are made by package
// aggregate; the schema belongs to package storage. Detectors are SQL files
// in detectors/, the other statements stand in query/. No statement asks for the
// current time: time is that of the events.
package profile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tidemark/profile/calendar"
	"tidemark/profile/intel"
	"tidemark/storage"
)

// Config is how a site is watched. A zero field means its default.
type Config struct {
	Site           string
	Log            uint64        // score this log only; 0 = every log of the database
	LearningPeriod time.Duration // how long a device is only learned; default 7 days
	Disabled       []string      // names of detectors that are off
	Shadow         []string      // of those whose findings are kept, and count nothing
	// Parameters replace defaults of detectors: detector, parameter, value. The
	// header of detectors/NAME.sql says what each means.
	Parameters map[string]map[string]float64

	Detectors string // directory of the operator's own; "" = none

	Lists []intel.Source // of addresses nobody should talk to

	// Zone is what the site's clocks show, so what hours and days are; default UTC.
	Zone      *time.Location
	Calendars []calendar.Source // of days off and days worked

	MUD []KindMUD // profiles of kinds; those of devices are facts of them

	// Vendor names the vendor of a MAC, Service the service of a protocol and
	// port. Without them alerts show numbers.
	Vendor  func(mac uint64) string
	Service func(proto uint8, port uint16) string
	// Criticality is that of a kind of device: low, normal, high, critical.
	Criticality func(kind string) string

	Budget Budget
}

// DefaultLearningPeriod is how long a device is learned before detectors that
// compare it with itself may speak.
const DefaultLearningPeriod = 7 * 24 * time.Hour

// Validate reports every fault of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.LearningPeriod != 0 && (c.LearningPeriod < time.Hour || c.LearningPeriod > 180*24*time.Hour) {
		errs = append(errs, fmt.Errorf("profile.learning_period: got %s, want 1h to 4320h", c.LearningPeriod))
	}
	for _, err := range intel.Validate(c.Lists) {
		errs = append(errs, fmt.Errorf("profile.lists%w", err))
	}
	known, _ := DetectorFiles(c.Detectors)
	known = append(Detectors(), known...)
	names := make([]string, len(known))
	if c.Budget.Device < 0 || c.Budget.Site < 0 {
		errs = append(errs, fmt.Errorf("profile.budget: got %d a day of a device, %d of the site, want 0 (the default) or more", c.Budget.Device, c.Budget.Site))
	}
	byName := make(map[string]Detector, len(known))
	for i, d := range known {
		names[i], byName[d.Name] = d.Name, d
	}
	files := DetectorFileNames(c.Detectors) // those with faults too
	for _, name := range slices.Concat(c.Disabled, c.Shadow) {
		if _, ok := byName[name]; !ok && !slices.Contains(files, name) {
			errs = append(errs, fmt.Errorf("profile.disabled: no detector %q, want one of %s", name, strings.Join(names, ", ")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Parameters)) {
		d, ok := byName[name]
		if !ok && slices.Contains(files, name) {
			continue // what it may be is not known
		}
		if !ok {
			errs = append(errs, fmt.Errorf("profile.parameters: no detector %q, want one of %s", name, strings.Join(names, ", ")))
			continue
		}
		for _, p := range slices.Sorted(maps.Keys(c.Parameters[name])) {
			if _, ok := d.Parameters[p]; !ok {
				errs = append(errs, fmt.Errorf("profile.parameters.%s: no parameter %q, want one of %s", name, p,
					strings.Join(slices.Sorted(maps.Keys(d.Parameters)), ", ")))
			} else if err := d.Within(p, c.Parameters[name][p]); err != nil {
				errs = append(errs, fmt.Errorf("profile.parameters.%s.%s: %w", name, p, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Event is a change that belongs into the ledger: an alert raised, updated,
// acknowledged or closed. Body holds strings, integers, and slices and maps of
// those, the same for the same findings.
type Event struct {
	Kind  string // "alert", "alert_updated", "alert_acknowledged", "alert_closed", "alert_digest", "device_..."
	Time  time.Time
	Actor string
	Body  map[string]any

	Incident *Incident   // the one that changed, as of now; nil for events of other kinds
	Held     []*Incident // those of a digest
}

// Emit takes events to the ledger, in their order; when it returns nil they are
// durable. After an error some of them may be.
type Emit func(context.Context, ...Event) error

// Scorer scores new batches and answers questions about devices and incidents.
// One goroutine at a time may call Score; queries may run beside it.
type Scorer struct {
	db        *storage.DB
	config    Config
	emit      Emit
	log       zerolog.Logger
	detectors []Detector
	gate      gate
	lists     *intel.Lists
	suspects  suspects // of the batches being scored
	calendars *calendar.Calendars
	days      days // about the batches being scored
	mud       described
	frozen    frozen
	joined    joined
	near      joined    // of joined those that the batches being scored have to do with
	day       time.Time // of a backtest that has only edges; zero = contacts
	lull      lull
	own       own
	trying    bool // a backtest: whoever tries a detector file wants to know that it fails
}

// New checks the configuration. It does no work.
func New(db *storage.DB, c Config, emit Emit, log zerolog.Logger) (*Scorer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.LearningPeriod == 0 {
		c.LearningPeriod = DefaultLearningPeriod
	}
	if c.Vendor == nil {
		c.Vendor = func(uint64) string { return "" }
	}
	if c.Service == nil {
		c.Service = serviceNumber
	}
	if c.Criticality == nil {
		c.Criticality = func(string) string { return "" }
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	c.Budget.Device, c.Budget.Site = cmp.Or(c.Budget.Device, defaultDeviceBudget), cmp.Or(c.Budget.Site, defaultSiteBudget)
	if emit == nil {
		emit = func(context.Context, ...Event) error { return nil }
	}
	s := &Scorer{lists: intel.New(c.Lists), calendars: calendar.New(c.Calendars, c.Zone), db: db, config: c, emit: emit, log: log, gate: gate{begun: map[edge]int64{}}, lull: lull{clock: time.Unix(0, 0)}}
	for _, d := range Detectors() {
		if slices.Contains(c.Disabled, d.Name) {
			continue
		}
		for p, v := range c.Parameters[d.Name] {
			d.Parameters[p] = v
		}
		s.detectors = append(s.detectors, d)
	}
	return s, nil
}

func serviceNumber(proto uint8, port uint16) string {
	switch proto {
	case 6:
		return fmt.Sprintf("tcp/%d", port)
	case 17:
		return fmt.Sprintf("udp/%d", port)
	}
	return fmt.Sprintf("proto-%d/%d", proto, port)
}
