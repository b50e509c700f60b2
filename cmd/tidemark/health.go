package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"tidemark/anchor/publish"
)

// health gathers what is wrong right now, by part; healthz is 200 while nothing is.
type health struct {
	mu     sync.Mutex
	faults map[string]string
}

// set notes the state of a part; nil is well.
func (h *health) set(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.faults == nil {
		h.faults = map[string]string{}
	}
	if err == nil {
		delete(h.faults, part)
	} else {
		h.faults[part] = err.Error()
	}
}

func (h *health) text() (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.faults) == 0 {
		return "ok\n", true
	}
	var lines []string
	for part, fault := range h.faults {
		lines = append(lines, part+": "+fault+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), false
}

func (h *health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	text, well := h.text()
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprint(w, text)
}

const (
	healthEvery  = 5 * time.Second  // how often the parts that do not report by themselves are asked
	engineAnswer = 3 * time.Second  // longest time the engine may take to answer
	storeWithin  = 30 * time.Second // longest time without progress while sealed batches wait
	anchorsLate  = 3                // intervals without an anchor while there is something to anchor
)

// watchHealth asks the parts until ctx ends.
func (d *daemon) watchHealth(ctx context.Context) {
	started := time.Now()
	stored, room := standstill{since: started}, d.room()
	for {
		d.health.set("engine", d.engineFault(ctx))
		ledger := d.node.ledger
		d.health.set("storing", storingFault(ledger.Backlog(), stored.age(ledger.Reader().Size(), time.Now())))
		_ = room() // reports by itself
		if p := d.chain.publisher.Load(); p != nil {
			status := p.Status()
			status.Lag = min(status.Lag, time.Since(started)) // while no daemon ran there was nobody to anchor
			d.health.set("anchoring", anchoringFault(status, time.Duration(d.cfg.Chain.Interval)))
		}
		if d.witnesses != nil {
			d.health.set("witness", d.witnesses.Refusal())
		}
		if sleep(ctx, healthEvery) != nil {
			return
		}
	}
}

func (d *daemon) engineFault(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, engineAnswer)
	defer cancel()
	if err := d.node.db.Conn().Ping(ctx); err != nil {
		var request *url.Error // its address is made up
		if errors.As(err, &request) {
			err = request.Err
		}
		return fmt.Errorf("the database engine does not answer; sealed flows wait in the spool: %w", err)
	}
	return nil
}

// storingFault says that batches wait and none gets stored.
func storingFault(backlog uint64, still time.Duration) error {
	if backlog == 0 || still < storeWithin {
		return nil
	}
	return fmt.Errorf("%s in the spool, and none was stored for %s: see the log for the cause", plural(backlog, "sealed batch"), span(still))
}

// anchoringFault says that the record is not being protected.
func anchoringFault(s publish.Status, interval time.Duration) error {
	switch {
	case s.Refused:
		return fmt.Errorf("refused, and that will not pass by itself: %s", s.Error)
	case s.Backlog == 0 || s.Lag < anchorsLate*max(interval, time.Minute):
		return nil
	case s.Error != "":
		return fmt.Errorf("no anchor for %s, %s not protected: %s", span(s.Lag), plural(s.Backlog, "batch"), s.Error)
	}
	return fmt.Errorf("no anchor for %s, %s not protected", span(s.Lag), plural(s.Backlog, "batch"))
}

// standstill remembers since when a value has been what it is.
type standstill struct {
	value uint64
	since time.Time
}

func (s *standstill) age(value uint64, now time.Time) time.Duration {
	if value != s.value {
		s.value, s.since = value, now
	}
	return now.Sub(s.since)
}
