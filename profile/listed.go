package profile

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
)

//go:embed query/outside.sql
var outsideSQL string

// maxListed is how many listed addresses one look acts on.
const maxListed = 1000

// suspects are the listed addresses of some batches, and the list and note of each.
type suspects struct {
	addrs   []netip.Addr
	reasons []string
}

// refreshLists reads the operator's lists anew if they changed. Faults are told
// and cost only what they are about.
func (s *Scorer) refreshLists() {
	changed, err := s.lists.Refresh()
	if err != nil {
		s.log.Warn().Err(err).Int("entries", s.lists.Len()).Msg("threat lists have faults; what could be read is in force")
	} else if changed {
		s.log.Info().Int("entries", s.lists.Len()).Msg("threat lists are in force")
	}
}

// listedIn looks up what batches (after, upto] of a log dealt with outside.
func (s *Scorer) listedIn(ctx context.Context, log, after, upto uint64) (found suspects, err error) {
	if s.lists == nil || s.lists.Len() == 0 {
		return found, nil
	}
	outside, err := column[netip.Addr](ctx, s, outsideSQL, map[string]any{"log": log, "after": after, "upto": upto})
	if err != nil {
		return found, fmt.Errorf("read addresses outside: %w", err)
	}
	for _, a := range outside {
		if e, ok := s.lists.Find(a); ok && len(found.addrs) < maxListed {
			reason := e.List
			if e.Note != "" {
				reason += " (" + e.Note + ")"
			}
			found.addrs, found.reasons = append(found.addrs, a), append(found.reasons, reason)
		}
	}
	return found, nil
}
