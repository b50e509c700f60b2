package anchor

import (
	"testing"
)

func TestVerify_UntouchedLogNeverAlarms(t *testing.T) {
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
}
