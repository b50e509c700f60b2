package profile

import (
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"net/netip"
)

//go:embed query/save_coverage.sql
var saveCoverageSQL string

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
