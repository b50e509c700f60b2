package profile_test

import (
	"slices"
	"testing"
	"time"

	"tidemark/profile"
)

// TestJoined_HistoryGoesOnUnderTheKeptID: a camera is known by its address for ten
// days, then by its MAC; another one gets another network card, and the operator
// says so. Nothing they always did is news, nobody is missed, and both are learned:
// what they never did is told.
func TestJoined_HistoryGoesOnUnderTheKeptID(t *testing.T) {
	const card = 0x00408c00ffff
	at := func(day int) time.Time { return monday.AddDate(0, 0, day) }
	of := func(list []talk, house int, macs map[uint64]uint64) []talk {
		for i := range list {
			k := houseOf(house, list[i])
			if mac, ok := macs[k.mac]; ok {
				k.mac = mac
			}
			if mac, ok := macs[k.dmac]; ok {
				k.dmac = mac
			}
			list[i] = k
		}
		return list
	}
	bare := map[uint64]uint64{}
	for _, mac := range []uint64{camera, sensor, router} {
		k := houseOf(4, talk{mac: mac})
		bare[k.mac] = 0
	}
	renewed := map[uint64]uint64{houseOf(5, talk{mac: camera}).mac: card}
	first := houseOf(4, talk{mac: camera, from: "10.0.0.2"})
	other := houseOf(5, talk{mac: camera, from: "10.0.0.2"})

	s := newSite(t, profile.Config{})
	s.add(of(life(at(0), 10), 4, bare)...)
	s.add(of(life(at(0), 10), 5, nil)...)
	s.score()
	before := s.find(first.from)
	s.events = nil
	s.add(of(life(at(10), 1), 4, nil)...)
	s.add(of(life(at(10), 1), 5, renewed)...)
	s.commit()
	if list := s.told(first.mac, first.from, "", "flow", at(10), at(11)); len(list) != 1 || list[0].Device != before.ID {
		t.Fatalf("concluded %+v, want the id by address to be the camera's", list)
	}
	if err := s.Merge(t.Context(), s.find(profile.Device{MAC: other.mac}.MACString()), []profile.Device{s.find(profile.Device{MAC: card}.MACString())}, profile.By{Actor: "ann", Reason: "new card", At: s.received}); err != nil {
		t.Fatal(err)
	}
	s.score()
	s.add(of(life(at(11), 1), 4, nil)...)
	s.add(of(life(at(11), 1), 5, renewed)...)
	s.score()
	for _, e := range s.events {
		if e.Incident != nil && (e.Incident.Device == byMAC(first.mac) || e.Incident.Device == byMAC(other.mac) || e.Incident.Device == before.ID || e.Incident.Device == byMAC(card)) {
			t.Errorf("told of what is the same as ever: %s", e.Body["text"])
		}
	}
	s.events = nil
	bad := talk{at: at(12).Add(time.Hour), lasts: time.Minute, from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 4444, out: 60_000_000, in: 90_000}
	s.add(of([]talk{bad}, 4, nil)...)
	s.add(of([]talk{bad}, 5, renewed)...)
	s.score()
	for name, id := range map[string]uint64{"by address first": byMAC(first.mac), "with another card": byMAC(other.mac)} {
		var found []string
		var flows int
		for _, e := range s.events {
			if e.Incident != nil && e.Incident.Device == id {
				found = append(found, named(e)...)
				for _, l := range e.Incident.Lines {
					flows = max(flows, len(l.Flows))
				}
			}
		}
		if !slices.Contains(found, "new_destination") || !slices.Contains(found, "new_service") || flows == 0 {
			t.Errorf("%s: found %q with %d flows, want a new destination and a new service of a device that is learned", name, found, flows)
		}
	}
}
