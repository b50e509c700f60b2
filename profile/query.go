package profile

import "context"

// row is one row of an answer.
type row interface{ Scan(dest ...any) error }

// each binds values into a statement, runs it, and gives every row to fn.
func each(ctx context.Context, s *Scorer, statement string, values map[string]any, fn func(row) error) error {
	bound, err := bind(statement, values)
	if err != nil {
		return err
	}
	rows, err := s.db.Conn().Query(ctx, bound)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// query is each for statements whose rows make a list.
func query[T any](ctx context.Context, s *Scorer, statement string, values map[string]any, scan func(row, *T) error) ([]T, error) {
	var out []T
	err := each(ctx, s, statement, values, func(r row) error {
		var v T
		if err := scan(r, &v); err != nil {
			return err
		}
		out = append(out, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// column is query for statements with one column.
func column[T any](ctx context.Context, s *Scorer, statement string, values map[string]any) ([]T, error) {
	return query(ctx, s, statement, values, func(r row, v *T) error { return r.Scan(v) })
}

// scalar reads the first row of an answer; sql.ErrNoRows if it has none.
func scalar(ctx context.Context, s *Scorer, statement string, values map[string]any, dest ...any) error {
	bound, err := bind(statement, values)
	if err != nil {
		return err
	}
	return s.db.Conn().QueryRow(ctx, bound).Scan(dest...)
}

// exec runs a statement that has no answer.
func (s *Scorer) exec(ctx context.Context, statement string, values map[string]any) error {
	bound, err := bind(statement, values)
	if err != nil {
		return err
	}
	return s.db.Conn().Exec(ctx, bound)
}

// insert stores a list by an INSERT statement, one block of it; values are those
// of one row, in the order of the statement's columns.
func insert[T any](ctx context.Context, s *Scorer, statement string, list []T, values func(T) []any) error {
	if len(list) == 0 {
		return nil
	}
	batch, err := s.db.Conn().PrepareBatch(ctx, statement)
	if err != nil {
		return err
	}
	defer batch.Abort()
	for _, v := range list {
		if err := batch.Append(values(v)...); err != nil {
			return err
		}
	}
	return batch.Send()
}
