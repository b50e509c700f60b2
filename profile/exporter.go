package profile

import (
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

var (
	//go:embed query/save_coverage.sql
	saveCoverageSQL string
	//go:embed query/newest.sql
	newestSQL string
)

// lull is when nothing comes in, so that no batch can be judged.
type lull struct {
	clock  time.Time // what this machine's clock shows, while a lull is judged; else Unix 0
	judged time.Time
}

// What is told of an exporter has an id in place of a device's: these two octets, and
// then its IPv4 address, or six octets of a hash of its IPv6 address (detectors/
// coverage.sql). The id of a device is a hash of 64 bits, so it is hardly ever one.
const (
	exporter4 = 0xE4E4_0000
	exporter6 = 0xE6E6
)

// exporterTitle is what an exporter is called that findings speak of; "" for the id
// of a device.
func exporterTitle(id uint64) string {
	switch {
	case id>>32 == exporter4:
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(id))
		return "exporter " + netip.AddrFrom4(a).String()
	case id>>48 == exporter6:
		return fmt.Sprintf("exporter %016x", id)
	}
	return ""
}

// noteCoverage keeps what exporters showed in batches (after, upto] of a log.
func (s *Scorer) noteCoverage(ctx context.Context, log, after, upto uint64) error {
	if detectorNamed(s.detectors, "coverage") == nil {
		return nil
	}
	err := s.exec(ctx, saveCoverageSQL, map[string]any{"site": s.config.Site, "log": log, "after": after, "upto": upto})
	if err != nil {
		return fmt.Errorf("keep what exporters showed: %w", err)
	}
	return nil
}

// Lull judges that nothing comes in any more, which no batch shows: all exporters may
// have fallen silent, or the only one. now is this machine's clock, which must be that
// of the flows too. What is judged before, and twice within five minutes, is not
// judged again.
func (s *Scorer) Lull(ctx context.Context, now time.Time) error {
	d := detectorNamed(s.detectors, "coverage")
	if d == nil || now.Sub(s.lull.judged) < steadyTime {
		return nil
	}
	s.lull.judged = now
	s.lull.clock = now
	defer func() { s.lull.clock = time.Unix(0, 0) }()
	var batch uint64
	var heard time.Time
	err := scalar(ctx, s, newestSQL, map[string]any{"site": s.config.Site, "log": s.config.Log, "now": now}, &batch, &heard)
	if err == nil && batch > 0 && now.Sub(heard) >= steadyTime && now.Sub(heard) < quietTime {
		var found []finding
		if found, err = s.find(ctx, d, s.config.Log, batch-1, batch); err == nil && len(found) > 0 {
			err = s.raise(ctx, found, now, false)
		}
	}
	if err != nil {
		return fmt.Errorf("judge the lull since %s: %w", heard.Format(time.RFC3339), err)
	}
	return nil
}

// restore closes the incidents of exporters of which nothing was found when all was
// judged that exporters show.
func (b *book) restore(watermark time.Time) {
	for _, i := range b.all {
		if exporterTitle(i.Device) == "" || i.State == StateClosed || i.seen {
			continue
		}
		i.State, i.event, i.due = StateClosed, true, i.Told > 0
		i.Actor, i.Reason = "tidemark", "it is over, or was so for a day: "+watermark.UTC().Format("2006-01-02 15:04 UTC")
	}
}
