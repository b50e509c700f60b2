package main

import (
	"sync"

	"tidemark/profile"
)

// outbox passes on what is in the ledger, in order. What could not be passed on,
// such as for a full disk, waits here: else each attempt to score would record it
// anew. A crash forgets it, and then the scorer, which was told of the failure,
// finds it again.
type outbox struct {
	pass func(profile.Event) error // nil: nobody is told

	mu      sync.Mutex
	waiting []profile.Event
}

func (o *outbox) add(events ...profile.Event) error {
	if o.pass == nil {
		return nil
	}
	o.mu.Lock()
	o.waiting = append(o.waiting, events...)
	o.mu.Unlock()
	return o.flush()
}

// flush passes on what waits, up to the first that cannot be.
func (o *outbox) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.waiting) > 0 {
		if err := o.pass(o.waiting[0]); err != nil {
			return err
		}
		o.waiting = o.waiting[1:]
	}
	return nil
}
