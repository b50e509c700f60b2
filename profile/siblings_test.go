package profile_test

import (
	"testing"

	"tidemark/profile"
)

// Devices of the same kind are asked: all of them deal with their cloud, one only
// with what is new to it.
func TestSiblings_SayWhetherTheyDoTheSame(t *testing.T) {
	s := newSite(t, only("new_destination"))
	for k := range 5 {
		for _, l := range life(monday, 8) {
			s.add(houseOf(k+1, l))
		}
	}
	s.score()
	s.exec("INSERT INTO kind_decisions (site, device, kind, actor, reason, decided) SELECT 'home', device, 'camera', 'ann', 'seen', now64(3) FROM device_lives WHERE identity = 'mac' AND bitShiftRight(mac, 24) = 0x00408c GROUP BY device")
	s.add(houseOf(1, talk{at: monday.AddDate(0, 0, 8), from: "10.0.0.2", to: "185.9.9.9", mac: camera, dmac: router, port: 443, out: 40_000, in: 9000}))
	s.score()
	list := s.alerts(profile.AlertFilter{})
	if len(list) != 1 {
		t.Fatalf("want one alert: %+v", list)
	}
	d, err := s.Device(t.Context(), "10.1.0.2")
	if err != nil {
		t.Fatal(err)
	}
	if o, ok, err := s.Siblings(t.Context(), d, list[0].Lines[0]); err != nil || !ok || o != (profile.Opinion{Kind: "camera", Same: 0, Of: 4}) {
		t.Errorf("of the new destination: %+v, %v, %v, want 0 of 4", o, ok, err)
	}
	cloud := profile.Line{Role: "client", Peer: "52.1.1.10", Proto: 6, Port: 8883}
	if o, ok, err := s.Siblings(t.Context(), d, cloud); err != nil || !ok || o.Same != 4 {
		t.Errorf("of the cloud: %+v, %v, %v, want 4 of 4", o, ok, err)
	}
	if _, ok, err := s.Siblings(t.Context(), d, profile.Line{Role: "unknown"}); err != nil || ok {
		t.Errorf("of a line without peer or service: %v, %v, want no opinion", ok, err)
	}
}
