package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/collector/flow"
)

//go:embed sql/flow_observers.sql
var flowObserversSQL string

// maxObserved is how many flows are looked for at other observers: each is
// compared with all that came in about the same time.
const maxObserved = 1000

// sighting is a record of the same packets by another observer.
type sighting struct {
	Exporter  string `json:"exporter"`
	Direction uint8  `json:"flow_direction"` // 0 ingress, 1 egress
	Name      string `json:"name"`           // of the other record
}

// markObserved adds to each flow also_seen_by: the records that other exporters,
// or the same at another interface, made of the same packets. The mark is
// derived from the record whenever it is asked for, so it can be made anew from
// a verified record and nobody has to believe it.
func (s *store) markObserved(ctx context.Context, lines []flowLine) error {
	if len(lines) == 0 || len(lines) > maxObserved {
		return nil
	}
	at := make(map[string]int, len(lines))
	keys := make([]string, len(lines))
	for i, l := range lines {
		n, err := flow.ParseName(l.Name)
		if err != nil {
			return err
		}
		at[l.Name], keys[i] = i, fmt.Sprintf("(%d,%d,%d)", n.Log, n.Batch, n.Pos)
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"flows": "[" + strings.Join(keys, ",") + "]"}))
	rows, err := s.db.Conn().Query(ctx, flowObserversSQL)
	if err != nil {
		return fmt.Errorf("find who else saw %d flows: %w", len(lines), err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var found [][]any
		if err := rows.Scan(&name, &found); err != nil {
			return fmt.Errorf("find who else saw flow %s: %w", name, err)
		}
		line := &lines[at[name]]
		for _, f := range found {
			exporter, _ := f[0].(string)
			direction, _ := f[1].(uint8)
			other, _ := f[2].(string)
			line.AlsoSeenBy = append(line.AlsoSeenBy, sighting{exporter, direction, other})
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("find who else saw %d flows: %w", len(lines), err)
	}
	for i := range lines {
		if err := lines[i].mark(); err != nil {
			return err
		}
	}
	return nil
}

// mark puts AlsoSeenBy into the JSON of the flow.
func (f *flowLine) mark() error {
	if f.AlsoSeenBy == nil {
		f.AlsoSeenBy = []sighting{}
	}
	text, err := json.Marshal(f.AlsoSeenBy)
	if err != nil {
		return err
	}
	f.raw = json.RawMessage(strings.TrimSuffix(string(f.raw), "}") + `,"also_seen_by":` + string(text) + "}")
	return nil
}

// observers is the exporter of the flow, and how many more saw it.
func (f flowLine) observers() string {
	if n := len(f.AlsoSeenBy); n > 0 {
		return fmt.Sprintf("%s +%d", f.Sampler, n)
	}
	return f.Sampler
}
