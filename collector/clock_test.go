package collector

import (
	"encoding/binary"
	"testing"
	"time"

	"tidemark/collector/flow"
)

// The offset is told to within the resolution of the exporter's clock, whatever
// delays some datagrams, and not moved by a few with a wrong time.
func TestClock_OffsetHoldsAgainstDelaysAndWrongTimes(t *testing.T) {
	const offset = 3600 * int64(time.Second)
	var m minute
	now := labNow
	for i := range 600 { // ten a second
		now += int64(100 * time.Millisecond)
		export := (now - offset) / 1e9 * 1e9 // whole seconds
		switch {
		case i%7 == 0:
			export -= 20e9 // sent late
		case i == 250, i == 400:
			export += 1e18 // a wrong one
		}
		m.add(now, 1, export)
	}
	_, _, got, ok := m.rates(now, labNow)
	if !ok || got < offset || got >= offset+int64(time.Second) {
		t.Errorf("offset %s (%t), want %s and less than a second more", time.Duration(got), ok, time.Duration(offset))
	}
	if _, _, got, ok = m.rates(now+int64(2*time.Minute), labNow); ok {
		t.Errorf("offset %s of an exporter silent for two minutes, want none", time.Duration(got))
	}
}

// A clock that is an hour slow is shown; the record keeps its times, and the
// times for detection are on our clock.
func TestClock_SlowExporterIsShownAndCorrectedBesideTheRecord(t *testing.T) {
	const behind = 2700
	l := newLab(t, Config{})
	message := ipfixOf(0, 0, setOf(2, templateOf(256, 150, 4, 151, 4, 1, 4)), setOf(256, uint32(labSeconds-behind-60), uint32(labSeconds-behind), uint32(1)))
	binary.BigEndian.PutUint32(message[4:], labSeconds-behind)
	l.send("127.0.0.1", message)
	e := l.status("127.0.0.1")
	if e.ClockOffset == nil || *e.ClockOffset != (behind+1)*time.Second { // it took a second, by the clock of the lab
		t.Errorf("offset %v, want %d s and one of delay", e.ClockOffset, behind)
	}
	b := l.rows(1)
	equal(t, "end as exported", b.TimeFlowEnd[0], (labSeconds-behind)*int64(time.Second))
	equal(t, "end for detection", b.EventEnd[0], labNow)
	equal(t, "length for detection", b.EventEnd[0]-b.EventStart[0], 60*int64(time.Second))
	equal(t, "quality", b.Quality[0]&flow.TimeClamped, 0)
}
