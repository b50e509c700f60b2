package profile

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/collector/flow"
	"tidemark/profile/aggregate"
	"tidemark/storage"
)

var (
	//go:embed query/check.sql
	checkSQL string
	//go:embed query/clear_day.sql
	clearDaySQL string
	//go:embed query/spans.sql
	spansSQL string
)

// Difference is a total of an aggregate that is not that of the flows.
type Difference struct {
	Aggregate string    `json:"aggregate"`
	Day       time.Time `json:"day"` // of receipt
	Column    string    `json:"column"`
	Got       uint64    `json:"got"`
	Want      uint64    `json:"want"`
}

func (d Difference) String() string {
	return fmt.Sprintf("%s of %s: %s is %d, want %d", d.Aggregate, d.Day.Format(time.DateOnly), d.Column, d.Got, d.Want)
}

// CheckAggregates compares the totals of every aggregate with those of the
// flows. No difference means that every flow was counted once in each.
func (s *Scorer) CheckAggregates(ctx context.Context) ([]Difference, error) {
	out, err := query(ctx, s, checkSQL, nil, func(r row, d *Difference) error {
		return r.Scan(&d.Aggregate, &d.Day, &d.Column, &d.Got, &d.Want)
	})
	if err != nil {
		return nil, fmt.Errorf("check aggregates: %w", err)
	}
	return out, nil
}

// Rebuild makes the aggregates of every day that flows still has anew. Nothing
// may insert flows meanwhile. Interrupted, it leaves days without aggregates:
// CheckAggregates says so, and Rebuild may be run again.
func (s *Scorer) Rebuild(ctx context.Context) error {
	spans, err := s.spans(ctx)
	if err != nil {
		return fmt.Errorf("rebuild aggregates: %w", err)
	}
	// What was inserted under a batch's own token is not inserted again.
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	maker := aggregate.New()
	var flows flow.Batch
	cleared := map[time.Time]bool{}
	next := map[uint64]uint64{} // by log, so that no batch is counted twice
	for _, p := range spans {
		if !cleared[p.day] {
			if err := s.clearDay(ctx, p.day); err != nil {
				return fmt.Errorf("rebuild aggregates of %s: %w", p.day.Format(time.DateOnly), err)
			}
			cleared[p.day] = true
		}
		for index := max(p.first, next[p.log]); index <= p.last; index++ {
			if err := s.refill(ctx, maker, &flows, p.log, p.site, index, run); err != nil {
				return fmt.Errorf("rebuild aggregates of batch %d: %w", index, err)
			}
			next[p.log] = index + 1
		}
	}
	return nil
}

// flowSpan is the batches of a log that were received on one day.
type flowSpan struct {
	log, first, last uint64
	site             string
	day              time.Time
}

// spans returns them in the order of their batches.
func (s *Scorer) spans(ctx context.Context) ([]flowSpan, error) {
	return query(ctx, s, spansSQL, nil, func(r row, p *flowSpan) error {
		return r.Scan(&p.log, &p.day, &p.site, &p.first, &p.last)
	})
}

func (s *Scorer) clearDay(ctx context.Context, day time.Time) error {
	for _, table := range []string{"contacts", "edges", "volumes_5m", "volumes_1h", "devices"} {
		named := clickhouse.WithParameters(clickhouse.Parameters{"table": table, "day": day.Format(time.DateOnly)})
		if err := s.db.Conn().Exec(clickhouse.Context(ctx, named), clearDaySQL); err != nil {
			return fmt.Errorf("clear %s: %w", table, err)
		}
	}
	return nil
}

// refill makes the aggregates of one batch from its rows.
func (s *Scorer) refill(ctx context.Context, m *aggregate.Maker, flows *flow.Batch, log uint64, site string, index uint64, run string) error {
	if err := s.db.ReadEnriched(ctx, log, index, flows); err != nil {
		return err
	}
	for _, b := range m.Blocks(log, site, index, flows) {
		if err := s.db.InsertBlock(ctx, b.Table, "rebuild "+run+" "+storage.FlowsToken(log, index), b.Data); err != nil {
			return err
		}
	}
	return nil
}
