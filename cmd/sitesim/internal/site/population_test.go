package site

import (
	"reflect"
	"slices"
	"testing"
)

func TestModels_AreManyAndSayWhereTheirRangesComeFrom(t *testing.T) {
	names := map[string]bool{}
	for _, m := range Models() {
		if names[m.Name] || m.Source == "" || m.OUI == [3]byte{} {
			t.Errorf("model %s: named twice, without a source or without a vendor's prefix", m.Name)
		}
		names[m.Name] = true
	}
	if len(names) < 25 {
		t.Errorf("%d models, want 25 at least", len(names))
	}
}

func TestDraw_SitesDifferBySeedOnly(t *testing.T) {
	one, again, other := Draw(Population{Seed: 1, Devices: 100}), Draw(Population{Seed: 1, Devices: 100}), Draw(Population{Seed: 2, Devices: 100})
	if !reflect.DeepEqual(one, again) {
		t.Error("two sites of one seed differ")
	}
	if reflect.DeepEqual(one, other) {
		t.Error("sites of two seeds are equal")
	}
	addresses, names, classes := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, d := range one.Devices {
		if names[d.Name] || addresses[d.Address().String()] {
			t.Errorf("%s %s: name or address is another's too", d.Name, d.Address())
		}
		names[d.Name], addresses[d.Address().String()], classes[d.Class] = true, true, true
	}
	if len(one.Devices) != 100 || len(classes) < 20 {
		t.Errorf("%d devices of %d classes, want 100 of 20 at least", len(one.Devices), len(classes))
	}
	domains := map[string]bool{}
	for _, d := range one.Domains {
		domains[d.Name] = true
	}
	for _, d := range one.Devices {
		for _, r := range d.Routines {
			if !names[r.To] && !domains[r.To] && r.Do != Announce {
				t.Errorf("%s deals with %s, who is not there", d.Name, r.To)
			}
		}
	}
}

func TestCalendar_HolidayIsASundayAndSummerAnHourEarlier(t *testing.T) {
	c := calendar{holidays: map[int64]bool{friday / civilDay: true}, summer: friday + 3*civilDay}
	if got := office.Weight(c.local(friday + int64(10*hour))); got != 0 {
		t.Errorf("the office works with weight %v on a holiday", got)
	}
	if got := shift.Weight(c.local(friday + 3*civilDay + int64(5*hour))); got != 1 {
		t.Errorf("at 05:00 UTC in summer the shift works with weight %v, want 1", got)
	}
	if got := shift.Weight(c.local(friday - int64(19*hour))); got != 0 {
		t.Errorf("at 05:00 UTC before, with weight %v, want 0", got)
	}
}

// friday is 2026-10-02 00:00 UTC.
const friday = int64(1790899200) * 1e9

// TestRanges_EveryModelDrawsItsOwn: what devices of a model do varies among them, and says
// where its numbers come from.
func TestRanges_EveryModelDrawsItsOwn(t *testing.T) {
	drawn := 0
	for _, m := range Models() {
		if m.Source == "" {
			t.Errorf("%s: nobody knows where its parameters come from", m.Name)
		}
		if m.Share == 0 {
			continue
		}
		drawn++
		habits := Ranges(m.Name)
		varied := slices.ContainsFunc(habits, func(h Habit) bool { return h.Pace.High > 1.5*h.Pace.Low || h.Up.High > 1.5*h.Up.Low })
		if len(habits) == 0 || !varied {
			t.Errorf("%s: %d habits, and none differs among its devices", m.Name, len(habits))
		}
	}
	if drawn < 25 {
		t.Errorf("%d models, want 25 or more", drawn)
	}
	if Ranges("no such model") != nil {
		t.Error("a model that is none has habits")
	}
}
