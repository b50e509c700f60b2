package anchor

import (
	"testing"
)

func untouchedLogNeverAlarms(t *testing.T) {
	s := newSite(t)
	r := s.clean("fresh")
	if r.Batches != 7 || r.Flows != 1257 || r.Events != 3 || r.Size != 7 {
		t.Errorf("checked %d batches, %d flows, %d events of %d, want 7, 1257, 3 of 7", r.Batches, r.Flows, r.Events, r.Size)
	}
	s.exec("OPTIMIZE TABLE flows FINAL")
	s.clean("after OPTIMIZE FINAL")
	s.exec("DETACH TABLE flows")
	s.exec("ATTACH TABLE flows")
	s.clean("after DETACH and ATTACH")
	t.Log(text(r))

	restore := s.keep()
	s.exec("ALTER TABLE flows UPDATE src_device = 7, scope = 'lan', event_start_ns = addNanoseconds(event_start_ns, 9), conversation = 1 WHERE 1 SETTINGS mutations_sync = 2")
	s.clean("enrichment recomputed")
	for name, claim := range map[string]func(*testing.T, *recordedSite){
		"QuarantineCountsAsStored":        quarantineCountsAsStored,
		"BatchesOnTheirWayAreNoIntruders": batchesOnTheirWayAreNoIntruders,
		"FilterReadsOnlyItsBatches":       filterReadsOnlyItsBatches,
	} {
		restore()
		t.Run(name, func(t *testing.T) { s.t = t; claim(t, s) })
		s.t = t
	}
}
