package profile

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	//go:embed query/logs.sql
	logsSQL string
	//go:embed query/new_batches.sql
	newBatchesSQL string
	//go:embed query/save_cursor.sql
	saveCursorSQL string
	//go:embed query/jump.sql
	jumpSQL string
	//go:embed query/kept.sql
	keptSQL string
)

const (
	// maxBatches bounds what one statement of a detector looks at after a long
	// outage.
	maxBatches = 2048

	// steadyTime is the event time between two runs of the detectors that judge
	// whole hours.
	steadyTime = 5 * time.Minute
)

// pace says when a detector runs: with every batch that has something for it,
// or every five minutes of event time and when nothing new came.
type pace string

const (
	prompt pace = "prompt"
	steady pace = "steady"
)

// backlog is what of a log is not scored yet: up to which batch each pace came,
// the newest batch, and the event time reached.
type backlog struct {
	log, upto      uint64
	prompt, steady uint64
	reached, mark  time.Time
}

// Score runs the detectors over every batch committed since the last Score.
// watermark is the event time reached; zero takes it from the batches. How far
// it came is stored at the end: after a crash the same batches are scored again,
// find the same incidents and may write the same event a second time.
func (s *Scorer) Score(ctx context.Context, watermark time.Time) error {
	s.refreshLists()
	s.refreshCalendars()
	if err := s.refreshDetectors(ctx); err != nil {
		return fmt.Errorf("score: %w", err)
	}
	if err := s.refreshProfiles(ctx); err != nil {
		return fmt.Errorf("score: %w", err)
	}
	if err := s.refreshFrozen(ctx); err != nil {
		return fmt.Errorf("score: %w", err)
	}
	if err := s.refreshJoined(ctx); err != nil {
		return fmt.Errorf("score: %w", err)
	}
	logs, err := s.backlogs(ctx)
	if err != nil {
		return fmt.Errorf("score: %w", err)
	}
	for _, b := range logs {
		if !watermark.IsZero() {
			b.reached = watermark
		}
		idle := b.prompt == b.upto
		if err := s.run(ctx, prompt, b.log, b.prompt, b.upto, b.reached); err != nil {
			return err
		}
		if d := b.reached.Sub(b.mark); !idle && d >= 0 && d < steadyTime {
			continue
		}
		if err := s.run(ctx, steady, b.log, b.steady, b.upto, b.reached); err != nil {
			return err
		}
	}
	return nil
}

// run scores batches (after, upto] of a log at one pace.
func (s *Scorer) run(ctx context.Context, p pace, log, after, upto uint64, watermark time.Time) error {
	for after < upto {
		end := min(after+maxBatches, upto)
		s.days = s.daysTo(watermark)
		var err error
		if p == steady {
			err = s.noteCoverage(ctx, log, after, end)
		}
		var found []finding
		if err == nil {
			found, err = s.findAll(ctx, p, log, after, end)
		}
		if err == nil {
			err = s.raise(ctx, found, watermark, p == steady && detectorNamed(s.detectors, "coverage") != nil)
		}
		if err == nil {
			err = s.exec(ctx, saveCursorSQL, map[string]any{"log": log, "pace": string(p), "batch": end, "watermark": watermark})
		}
		if err != nil {
			return fmt.Errorf("score batches %d to %d of log %016x: %w", after+1, end, log, err)
		}
		after = end
	}
	return nil
}

func (s *Scorer) findAll(ctx context.Context, p pace, log, after, upto uint64) ([]finding, error) {
	look := s.look
	if p == steady {
		look = s.ages
	}
	signs, err := look(ctx, log, after, upto)
	if err != nil {
		return nil, err
	}
	if s.mud.any {
		signs |= profiled
	}
	var all []finding
	for i := range s.detectors {
		d := &s.detectors[i]
		if !d.due(p, signs) || s.own.rests(d.Name, upto) {
			continue
		}
		found, err := s.find(ctx, d, log, after, upto)
		if err = s.ran(d, after, upto, err); err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, s.keep(ctx, all)
}

// keep gives findings the id that is kept of a device with several, if the detectors
// did not know it (maxJoined).
func (s *Scorer) keep(ctx context.Context, found []finding) error {
	if len(found) == 0 {
		return nil
	}
	kept := map[uint64]uint64{}
	for part := range slices.Chunk(found, idsPerQuery) {
		ids := make([]uint64, 0, 2*len(part))
		for i := range part {
			ids = append(ids, part[i].Device, part[i].PeerDevice)
		}
		err := each(ctx, s, keptSQL, map[string]any{"site": s.config.Site, "ids": ids}, func(r row) error {
			var device, target uint64
			err := r.Scan(&device, &target)
			kept[device] = target
			return err
		})
		if err != nil {
			return fmt.Errorf("read aliases of devices with findings: %w", err)
		}
	}
	for i := range found {
		f := &found[i]
		if target := kept[f.Device]; target != 0 {
			f.stored, f.Device = f.Device, target
		}
		if target := kept[f.PeerDevice]; target != 0 && f.PeerDevice != 0 {
			f.storedPeer, f.PeerDevice = f.PeerDevice, target
		}
	}
	return nil
}

// maxJump is how far the time of a site goes on at once because one exporter says so.
const maxJump = 24 * time.Hour

// holdBack keeps an exporter whose clock is trusted, and shows the year 2106, from
// ending what is open: the time reached goes on by more than a day only when every
// exporter heard lately is there.
func (s *Scorer) holdBack(ctx context.Context, b *backlog) error {
	if b.mark.UnixMilli() <= 0 || b.reached.Sub(b.mark) <= maxJump {
		return nil
	}
	var near uint64
	var newest time.Time
	if err := scalar(ctx, s, jumpSQL, map[string]any{"log": b.log, "upto": b.upto, "mark": b.mark}, &near, &newest); err != nil {
		return fmt.Errorf("read the clocks of exporters: %w", err)
	}
	if near > 0 {
		b.reached = later(b.mark, newest.UTC())
	}
	return nil
}

// backlogs returns the logs that have batches some pace has not seen.
func (s *Scorer) backlogs(ctx context.Context) ([]backlog, error) {
	logs := []uint64{s.config.Log}
	if s.config.Log == 0 {
		var err error
		if logs, err = column[uint64](ctx, s, logsSQL, nil); err != nil {
			return nil, err
		}
	}
	var out []backlog
	for _, log := range logs {
		b := backlog{log: log}
		err := scalar(ctx, s, newBatchesSQL, map[string]any{"log": log}, &b.upto, &b.reached, &b.prompt, &b.steady, &b.mark)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b.reached, b.mark = b.reached.UTC(), b.mark.UTC()
		if err := s.holdBack(ctx, &b); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}
