package profile

import (
	"context"
	_ "embed"
	"fmt"
	"time"
)

var (
	//go:embed query/new_batches.sql
	newBatchesSQL string
	//go:embed query/save_cursor.sql
	saveCursorSQL string
)

// maxBatches bounds what one statement of a detector looks at after a long
// outage.
const maxBatches = 2048

// span is the new batches (after, upto] of a log.
type span struct {
	log, after, upto uint64
	last             time.Time // event time they reach
}

// Score runs the detectors over every batch committed since the last Score.
// watermark is the event time reached; zero takes it from the batches. How far
// it came is stored at the end: after a crash the same batches are scored again,
// find the same incidents and may write the same event a second time.
func (s *Scorer) Score(ctx context.Context, watermark time.Time) error {
	spans, err := s.newBatches(ctx)
	if err != nil {
		return fmt.Errorf("score: %w", err)
	}
	for _, sp := range spans {
		at := watermark
		if at.IsZero() {
			at = sp.last
		}
		for after := sp.after; after < sp.upto; after = min(after+maxBatches, sp.upto) {
			if err := s.scoreSpan(ctx, span{sp.log, after, min(after+maxBatches, sp.upto), sp.last}, at); err != nil {
				return fmt.Errorf("score batches %d to %d of log %016x: %w", after+1, sp.upto, sp.log, err)
			}
		}
	}
	return nil
}

func (s *Scorer) scoreSpan(ctx context.Context, sp span, watermark time.Time) error {
	var all []finding
	for i := range s.detectors {
		found, err := s.find(ctx, &s.detectors[i], sp.log, sp.after, sp.upto)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	if err := s.raise(ctx, all, watermark); err != nil {
		return err
	}
	return s.exec(ctx, saveCursorSQL, map[string]any{"log": sp.log, "batch": sp.upto, "watermark": watermark})
}

// newBatches returns what was committed after the stored cursors. Batch 0 is a
// log's genesis and has no flows.
func (s *Scorer) newBatches(ctx context.Context) ([]span, error) {
	rows, err := s.db.Conn().Query(ctx, newBatchesSQL)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var spans []span
	for rows.Next() {
		var sp span
		if err := rows.Scan(&sp.log, &sp.after, &sp.upto, &sp.last); err != nil {
			return nil, err
		}
		sp.last = sp.last.UTC()
		spans = append(spans, sp)
	}
	return spans, rows.Err()
}

func (s *Scorer) exec(ctx context.Context, sql string, values map[string]any) error {
	bound, err := bind(sql, values)
	if err != nil {
		return err
	}
	return s.db.Conn().Exec(ctx, bound)
}
