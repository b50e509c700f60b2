package eval

import "context"

func (o Options) splices(ctx context.Context, version string) error { return nil }
