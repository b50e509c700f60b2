package profile

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var (
	//go:embed query/check.sql
	checkSQL string
	//go:embed query/spans.sql
	spansSQL string
	//go:embed query/view_select.sql
	viewSelectSQL string
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
	rows, err := s.db.Conn().Query(ctx, checkSQL)
	if err != nil {
		return nil, fmt.Errorf("check aggregates: %w", err)
	}
	defer rows.Close()
	var out []Difference
	for rows.Next() {
		var d Difference
		if err := rows.Scan(&d.Aggregate, &d.Day, &d.Column, &d.Got, &d.Want); err != nil {
			return nil, fmt.Errorf("check aggregates: %w", err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// Rebuild makes the aggregates of every day that flows still has anew. Nothing
// may insert flows meanwhile. Interrupted, it leaves days without aggregates:
// CheckAggregates says so, and Rebuild may be run again.
func (s *Scorer) Rebuild(ctx context.Context) error {
	rows, err := s.db.Conn().Query(ctx, spansSQL)
	if err != nil {
		return fmt.Errorf("rebuild aggregates: %w", err)
	}
	defer rows.Close()
	type part struct {
		log, first, last uint64
		day              time.Time
	}
	var parts []part
	for rows.Next() {
		var p part
		if err := rows.Scan(&p.log, &p.day, &p.first, &p.last); err != nil {
			return fmt.Errorf("rebuild aggregates: %w", err)
		}
		parts = append(parts, p)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("rebuild aggregates: %w", err)
	}
	cleared := map[time.Time]bool{}
	for _, p := range parts {
		if !cleared[p.day] {
			if err := s.clearDay(ctx, p.day); err != nil {
				return fmt.Errorf("rebuild aggregates of %s: %w", p.day.Format(time.DateOnly), err)
			}
			cleared[p.day] = true
		}
		for batch := p.first; batch <= p.last; batch++ { // the views take all rows of a statement for one batch
			filter := fmt.Sprintf("log = %d AND batch_index = %d AND toDate(time_received_ns) = '%s'", p.log, batch, p.day.Format(time.DateOnly))
			if err := s.refill(ctx, filter); err != nil {
				return fmt.Errorf("rebuild aggregates of batch %d: %w", batch, err)
			}
		}
	}
	return nil
}

func (s *Scorer) clearDay(ctx context.Context, day time.Time) error {
	for _, table := range []string{"contacts", "edges", "volumes_5m", "volumes_1h", "devices"} {
		statement := fmt.Sprintf("ALTER TABLE %s DELETE WHERE received = '%s' SETTINGS mutations_sync = 2", table, day.Format(time.DateOnly))
		if err := s.db.Conn().Exec(ctx, statement); err != nil {
			return fmt.Errorf("clear %s: %w", table, err)
		}
	}
	return nil
}

// refill runs the views' own statements over some batches; the views on their
// targets fill the rest.
func (s *Scorer) refill(ctx context.Context, filter string) error {
	for table, view := range map[string]string{"contacts": "contacts_of_flows", "volumes_5m": "volumes_5m_of_flows", "devices": "devices_of_flows"} {
		statement, err := bind(viewSelectSQL, map[string]any{"view": view})
		if err != nil {
			return err
		}
		var selects string
		if err := s.db.Conn().QueryRow(ctx, statement).Scan(&selects); err != nil {
			return fmt.Errorf("read view %s: %w", view, err)
		}
		settings := clickhouse.Settings{
			"additional_table_filters": "{'" + s.db.Database() + ".flows': " + quote(filter) + "}",
			"insert_deduplicate":       0,
		}
		if err := s.db.Conn().Exec(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), "INSERT INTO "+table+" "+selects); err != nil {
			return fmt.Errorf("fill %s: %w", table, err)
		}
	}
	return nil
}
