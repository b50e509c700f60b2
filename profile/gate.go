package profile

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"slices"
	"time"
)

var (
	//go:embed query/touched.sql
	touchedSQL string
	//go:embed query/edges_of.sql
	edgesOfSQL string
	//go:embed query/ages.sql
	agesSQL string
)

const (
	maxKnownEdges   = 1 << 20 // remembered; 48 octets each
	devicesPerQuery = 500

	// An edge is new for a day: so long the detectors of novelty look at it.
	noveltyTime = 24 * time.Hour
)

// roleServer is role in the tables.
const roleServer = 2

type edge struct {
	device, peer uint64
	port         uint16
	proto, role  uint8
}

// gate remembers when edges began, so that the detectors of novelty, whose
// statements cost a tenth of a second just to plan, run only when a batch has an
// edge that is new. It holds nothing that is not in the database.
type gate struct {
	begun map[edge]int64 // ms since 1970
}

// look says which signs new batches (after, upto] of a log hold.
func (s *Scorer) look(ctx context.Context, log, after, upto uint64) (sign, error) {
	touched, signs, err := s.touched(ctx, log, after, upto)
	if err != nil {
		return 0, fmt.Errorf("read new contacts: %w", err)
	}
	s.near = s.joined.of(touched)
	if err := s.learnEdges(ctx, touched); err != nil {
		return 0, fmt.Errorf("read edges: %w", err)
	}
	if s.suspects, err = s.listedIn(ctx, log, after, upto); err != nil {
		return 0, err
	}
	if len(s.suspects.addrs) > 0 {
		signs |= listed
	}
	ages, err := s.ages(ctx, log, after, upto)
	return signs | ages | s.gate.signs(touched), err
}

// signs says whether edges are new: of the last day, or of these very batches,
// which is when somebody tries peers. An edge is of these batches if it began when
// their first contact did, or later.
func (g *gate) signs(touched map[edge]int64) (out sign) {
	first := int64(math.MaxInt64)
	for _, at := range touched {
		first = min(first, at)
	}
	for e, at := range touched {
		begun, ok := g.begun[e]
		if !ok || at < begun+noveltyTime.Milliseconds() {
			out |= novelty
		}
		if !ok || begun >= first && e.role != roleServer {
			out |= trying
		}
	}
	return out
}

// ages says what new batches (after, upto] of a log mean by the age of devices alone.
func (s *Scorer) ages(ctx context.Context, log, after, upto uint64) (out sign, err error) {
	values := map[string]any{
		"log": log, "after": after, "upto": upto, "site": s.config.Site, "learning": uint64(s.config.LearningPeriod / time.Second), "settling": uint64(0),
	}
	if d := detectorNamed(s.detectors, "new_device"); d != nil { // it speaks for a day
		values["settling"] = uint64(3600 * (24 + d.Parameters["settle_hours"]))
	}
	s.joined.values(values)
	err = each(ctx, s, s.joined.join(agesSQL), values, func(r row) error {
		var has [3]uint8
		err := r.Scan(&has[0], &has[1], &has[2])
		for i, s := range []sign{learned, arrived, graduated} {
			if has[i] != 0 {
				out |= s
			}
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read ages of devices: %w", err)
	}
	return out, nil
}

func (s *Scorer) touched(ctx context.Context, log, after, upto uint64) (map[edge]int64, sign, error) {
	out := map[edge]int64{}
	var signs sign
	values := map[string]any{"log": log, "after": after, "upto": upto}
	s.joined.values(values)
	err := each(ctx, s, s.joined.join(touchedSQL), values, func(r row) error {
		var e edge
		var at time.Time
		var has [7]uint8
		if err := r.Scan(&e.device, &e.role, &e.peer, &e.proto, &e.port, &at, &has[0], &has[1], &has[2], &has[3], &has[4], &has[5], &has[6]); err != nil {
			return err
		}
		out[e] = at.UnixMilli()
		for i, s := range []sign{failing, pouring, answering, logins, asking, entered, controlled} {
			if has[i] != 0 {
				signs |= s
			}
		}
		return nil
	})
	return out, signs, err
}

// learnEdges reads the edges of every device of which one is not remembered.
func (s *Scorer) learnEdges(ctx context.Context, touched map[edge]int64) error {
	missing := map[uint64]bool{}
	for e := range touched {
		if _, ok := s.gate.begun[e]; !ok {
			missing[e.device] = true
		}
	}
	var devices []uint64
	for d := range missing {
		devices = append(devices, d)
	}
	for part := range slices.Chunk(devices, devicesPerQuery) {
		if err := s.readEdges(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scorer) readEdges(ctx context.Context, devices []uint64) error {
	values := map[string]any{"devices": devices}
	s.frozen.values(values)
	s.joined.values(values)
	return each(ctx, s, s.frozen.unlearn(s.joined.join(edgesOfSQL)), values, func(r row) error {
		var e edge
		var at time.Time
		if err := r.Scan(&e.device, &e.role, &e.peer, &e.proto, &e.port, &at); err != nil {
			return err
		}
		if len(s.gate.begun) >= maxKnownEdges {
			clear(s.gate.begun) // all of it is in the database
		}
		s.gate.begun[e] = at.UnixMilli()
		return nil
	})
}
