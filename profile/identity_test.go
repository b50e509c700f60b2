package profile_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/enrich"
	"tidemark/profile"
)

func byMAC(mac uint64) uint64 { return enrich.DeviceByMAC("home", mac) }
func byAddress(a string) uint64 {
	return enrich.DeviceByAddress("home", 0, netip.MustParseAddr(a).As16())
}

// told stores that a device had an address, and concludes what follows.
func (s *site) told(mac uint64, addr, name, source string, from, to time.Time) []profile.Alias {
	s.t.Helper()
	i := profile.Interval{Device: byMAC(mac), Addr: netip.MustParseAddr(addr), MAC: mac, From: from, To: to, Source: source, Confidence: 90, Name: name}
	if err := s.SaveIntervals(s.t.Context(), []profile.Interval{i}, s.received); err != nil {
		s.t.Fatal(err)
	}
	list, err := s.Conclude(s.t.Context(), []uint64{byAddress(addr)}, []uint64{byMAC(mac)}, s.received)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

func (s *site) find(name string) profile.Device {
	s.t.Helper()
	d, err := s.Device(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *site) names(f profile.DeviceFilter) (out []string) {
	s.t.Helper()
	list, err := s.Devices(s.t.Context(), f)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range list {
		out = append(out, d.Addresses[0].String())
	}
	return out
}

// hours is an hourly conversation of a host for so many hours.
func hours(from time.Time, n int, addr, to string, mac uint64) (out []talk) {
	for h := range n {
		out = append(out, talk{at: from.Add(time.Duration(h) * time.Hour), from: addr, to: to, mac: mac, port: 443, out: 1000, in: 2000})
	}
	return out
}

func TestDevices_FirstByAddressThenByMACAreOne(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(hours(monday, 10, "10.0.0.5", "52.1.1.1", 0)...)
	s.commit()
	s.add(hours(monday.Add(10*time.Hour), 10, "10.0.0.5", "52.1.1.1", camera)...)
	s.commit()
	if list := s.told(camera, "10.0.0.5", "", "flow", monday.Add(10*time.Hour), monday.Add(20*time.Hour)); len(list) != 1 || list[0].Device != byAddress("10.0.0.5") || list[0].Target != byMAC(camera) {
		t.Fatalf("concluded %+v, want the id by address to be the camera's", list)
	}
	d := s.find("10.0.0.5")
	if d.ID != byMAC(camera) || !d.First.Equal(monday) || len(d.Members) != 2 || d.Flows != 40 {
		t.Fatalf("%+v, want the camera with the history of its address: 40 flows since %s", d, monday)
	}
	if got := s.names(profile.DeviceFilter{}); !slices.Equal(got, []string{"10.0.0.5"}) {
		t.Errorf("listed %v, want it once", got)
	}
	b, err := s.Baseline(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	var flows uint64
	for _, p := range b.Peers {
		flows += p.Flows
	}
	if flows != d.Flows {
		t.Errorf("its peers have %d flows, the device %d", flows, d.Flows)
	}
	if list := s.told(camera, "10.0.0.5", "", "flow", monday.Add(10*time.Hour), monday.Add(21*time.Hour)); len(list) != 0 {
		t.Errorf("concluded again: %+v", list)
	}
}

func TestDevices_AnAddressOfTwoDevicesIsNeithers(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(hours(monday, 10, "10.0.0.5", "52.1.1.1", 0)...)
	s.commit()
	second := profile.Interval{Device: byMAC(sensor), Addr: netip.MustParseAddr("10.0.0.5"), MAC: sensor, From: monday.Add(4 * time.Hour), Source: "lease"}
	if err := s.SaveIntervals(t.Context(), []profile.Interval{second}, s.received); err != nil {
		t.Fatal(err)
	}
	if list := s.told(camera, "10.0.0.5", "", "lease", monday.Add(-time.Hour), monday.Add(2*time.Hour)); len(list) != 0 {
		t.Fatalf("concluded %+v of an address that two devices had", list)
	}
	if d := s.find("10.0.0.5"); d.ID != byAddress("10.0.0.5") || d.Identity != "address" {
		t.Errorf("%+v, want the address alone", d)
	}
}

func TestDevices_RandomMACsWithOneHostNameAreOne(t *testing.T) {
	const night1, night2, night3, other = 0xdaa119000001, 0xdaa119000002, 0xdaa119000003, 0xdaa119000009
	s := newSite(t, profile.Config{})
	for i, mac := range []uint64{night1, night2, night3} {
		s.add(hours(monday.AddDate(0, 0, i), 20, fmt.Sprintf("10.0.0.%d", 50+i), "52.1.1.1", mac)...)
	}
	s.add(hours(monday, 40, "10.0.0.90", "52.1.1.1", other)...)
	s.commit()
	for i, mac := range []uint64{night1, night2, night3} {
		s.told(mac, fmt.Sprintf("10.0.0.%d", 50+i), "Anns-Pixel", "lease", monday.AddDate(0, 0, i), monday.AddDate(0, 0, i+1))
	}
	s.told(other, "10.0.0.90", "iPhone", "lease", monday, monday.AddDate(0, 0, 2))
	if d := s.find("Anns-Pixel"); d.ID != byMAC(night1) || len(d.Members) != 3 || !d.First.Equal(monday) {
		t.Fatalf("%+v, want one phone with three MACs", d)
	}
	if got := s.names(profile.DeviceFilter{}); len(got) != 2 {
		t.Fatalf("listed %v, want two phones", got)
	}
	// Another of that name, at the same time: the name tells nothing any more.
	s.add(hours(monday.AddDate(0, 0, 2), 5, "10.0.0.60", "52.1.1.1", 0xdaa119000004)...)
	s.commit()
	if list := s.told(0xdaa119000004, "10.0.0.60", "Anns-Pixel", "lease", monday.AddDate(0, 0, 2), monday.AddDate(0, 0, 3)); len(list) != 0 {
		t.Errorf("joined a phone that was there at the same time: %+v", list)
	}
}

// behind are hourly questions of the camera to an address behind the router.
func behind(addr string, proto uint8, port uint16) (out []talk) {
	for h := range 10 {
		out = append(out, talk{at: monday.Add(time.Duration(h) * time.Hour), from: "10.0.0.2", to: addr, mac: camera, dmac: router, port: port, proto: proto, out: 70, in: 150})
	}
	return out
}

func TestDevices_WhatARouterToldOfIsNoDevice(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(behind("10.99.0.7", 6, 8080)...)
	s.add(talk{at: monday, from: "10.0.0.2", to: "8.8.8.8", mac: camera, dmac: router, port: 53, proto: 17, out: 70, in: 150})
	s.commit()
	if got := s.names(profile.DeviceFilter{}); !slices.Contains(got, "10.99.0.7") {
		t.Fatalf("listed %v: nothing tells yet that 10.99.0.7 is a router's own", got)
	}
	i := profile.Interval{Device: byAddress("10.99.0.7"), Addr: netip.MustParseAddr("10.99.0.7"), MAC: router, Source: "neighbour", Gateway: true}
	if err := s.SaveIntervals(t.Context(), []profile.Interval{i}, s.received); err != nil {
		t.Fatal(err)
	}
	if got := s.names(profile.DeviceFilter{}); !slices.Equal(got, []string{"10.0.0.2"}) {
		t.Errorf("listed %v, want the camera only", got)
	}
}

// TestDevices_RoutersAreKnownByPlaceAndTalk: nobody told of them, and no MAC shows
// them. Either alone is not enough, or a device could be lost.
func TestDevices_RoutersAreKnownByPlaceAndTalk(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(behind("10.99.0.1", 17, 53)...)                   // first of its network, answers DNS
	s.add(behind("10.98.0.77", 17, 123)...)                 // alone in its network, answers NTP
	s.add(hours(monday, 10, "10.97.0.1", "52.1.1.1", 0)...) // first of its network, but it deals with the outside
	s.add(behind("10.97.0.5", 17, 53)...)                   // answers DNS, but it is one of many
	s.add(behind("10.97.0.254", 6, 9100)...)                // last of its network, and it prints
	s.add(talk{at: monday, from: "10.0.0.2", to: "8.8.8.8", mac: camera, dmac: router, port: 53, proto: 17, out: 70, in: 150})
	s.commit()
	s.add(behind("10.96.0.1", 6, 443)...) // first of its network and alone there: a web server would look so
	s.add(behind("10.95.0.1", 6, 443)...) // the same,
	s.add(behind("10.95.0.1", 17, 53)...) // and it answers DNS
	s.commit()
	got := s.names(profile.DeviceFilter{})
	slices.Sort(got)
	if want := []string{"10.0.0.2", "10.96.0.1", "10.97.0.1", "10.97.0.254", "10.97.0.5"}; !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

func TestMergeAndSplit_AreJoinedAtQueryTimeAndRecorded(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(hours(monday, 10, "10.0.0.2", "52.1.1.1", camera)...)
	s.add(hours(monday.Add(time.Hour), 10, "10.0.0.3", "52.1.1.1", sensor)...)
	s.commit()
	by := profile.By{Actor: "ann", Reason: "one box", At: s.received}
	cam, sens := s.find("10.0.0.2"), s.find("10.0.0.3")
	if err := s.Merge(t.Context(), cam, []profile.Device{sens}, by); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"10.0.0.2", "10.0.0.3", cam.Name(), sens.Name(), "24:0a:c4:00:00:02"} {
		if d := s.find(name); d.ID != cam.ID || d.Flows != cam.Flows+sens.Flows || len(d.Members) != 2 || d.MAC != camera {
			t.Errorf("%s after the merge: %+v", name, d)
		}
	}
	if err := s.Merge(t.Context(), s.find("10.0.0.2"), []profile.Device{s.find("10.0.0.3")}, by); !errors.Is(err, profile.ErrRefused) {
		t.Errorf("merge with itself: %v, want ErrRefused", err)
	}
	by.At = by.At.Add(time.Second)
	if err := s.Split(t.Context(), s.find("10.0.0.2"), []uint64{cam.ID}, by); !errors.Is(err, profile.ErrRefused) {
		t.Errorf("split of its own id: %v, want ErrRefused", err)
	}
	if err := s.Split(t.Context(), s.find("10.0.0.2"), nil, by); err != nil {
		t.Fatal(err)
	}
	if d := s.find("10.0.0.3"); d.ID != sens.ID || d.Flows != sens.Flows {
		t.Errorf("after the split: %+v, want the sensor as before", d)
	}
	if list, err := s.Aliases(t.Context(), s.find("10.0.0.2")); err != nil || len(list) != 2 || list[1].Target != sens.ID {
		t.Errorf("history %+v, %v, want the merge and the split", list, err)
	}
	if list := s.told(camera, "10.0.0.2", "", "flow", monday, monday); len(list) != 0 {
		t.Errorf("concluded against an operator: %+v", list)
	}
	var kinds []string
	for _, e := range s.events {
		kinds = append(kinds, e.Kind)
	}
	if !slices.Equal(kinds, []string{"device_merged", "device_split"}) || s.events[0].Actor != "ann" || s.events[0].Body["reason"] != "one box" {
		t.Errorf("recorded %v, want the merge and the split with who and why", s.events)
	}
}

func TestFacts_AreRecordedAndFilter(t *testing.T) {
	s := newSite(t, profile.Config{})
	s.add(hours(monday, 200, "10.0.0.2", "52.1.1.1", camera)...)
	s.add(hours(monday, 10, "10.0.0.3", "52.1.1.1", sensor)...)
	s.add(hours(monday.Add(195*time.Hour), 4, "10.0.0.4", "52.1.1.1", 0x240ac4000004)...)
	s.commit()
	by := profile.By{Actor: "ann", Reason: "known", At: s.received}
	for _, set := range [][2]string{{"approved", "yes"}, {"zone", "hall"}, {"zone", "hall"}, {"zone", "ward 3"}} {
		if err := s.SetFact(t.Context(), s.find("10.0.0.2"), set[0], set[1], by); err != nil {
			t.Fatal(err)
		}
		by.At = by.At.Add(time.Millisecond)
	}
	if len(s.events) != 3 {
		t.Errorf("%d events, want 3: what changes nothing is none", len(s.events))
	}
	if err := s.SetFact(t.Context(), s.find("10.0.0.2"), "colour", "red", by); !errors.Is(err, profile.ErrRefused) {
		t.Errorf("an unknown fact: %v, want ErrRefused", err)
	}
	if err := s.SetFact(t.Context(), s.find("10.0.0.2"), "zone", "x", profile.By{Actor: "ann", At: by.At}); !errors.Is(err, profile.ErrRefused) {
		t.Errorf("without a reason: %v, want ErrRefused", err)
	}
	for _, tt := range []struct {
		filter profile.DeviceFilter
		want   []string
	}{
		{profile.DeviceFilter{Unapproved: true}, []string{"10.0.0.3", "10.0.0.4"}},
		{profile.DeviceFilter{Match: "WARD"}, []string{"10.0.0.2"}},
		{profile.DeviceFilter{Match: "24:0A:C4"}, []string{"10.0.0.3", "10.0.0.4"}},
		{profile.DeviceFilter{Network: netip.MustParsePrefix("10.0.0.2/31")}, []string{"10.0.0.2", "10.0.0.3"}},
		{profile.DeviceFilter{State: profile.DeviceNew}, []string{"10.0.0.4"}},
		{profile.DeviceFilter{State: profile.DeviceSilent}, []string{"10.0.0.3"}},
		{profile.DeviceFilter{State: profile.DeviceActive}, []string{"10.0.0.2"}},
		{profile.DeviceFilter{KnownBy: "address"}, nil},
		{profile.DeviceFilter{Sort: "last"}, []string{"10.0.0.2", "10.0.0.4", "10.0.0.3"}},
		{profile.DeviceFilter{Sort: "address", Limit: 1}, []string{"10.0.0.2"}},
	} {
		if tt.filter.Sort == "" {
			tt.filter.Sort = "address"
		}
		if got := s.names(tt.filter); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.filter, got, tt.want)
		}
	}
}

// In the first week of a site what was not seen before is listed: things wake once a
// week. A router's own address is no device.
func TestNewDevice_WhoIsTold(t *testing.T) {
	const first, late = 0x240ac4000008, 0x240ac4000009
	s := newSite(t, profile.Config{})
	s.add(hours(monday, 9*24, "10.0.0.2", "52.1.1.1", camera)...)
	s.add(hours(monday.Add(50*time.Hour), 30, "10.0.0.8", "52.1.1.1", first)...)
	s.add(hours(monday.Add(8*24*time.Hour), 20, "10.0.0.9", "52.1.1.1", late)...)
	for h := range 40 {
		at := monday.Add(time.Duration(7*24+h) * time.Hour)
		s.add(talk{at: at, from: "10.0.7.1", to: "9.9.9.9", port: 53, proto: 17, out: 70, in: 150}, talk{at: at, from: "10.0.7.1", to: "10.0.0.1", port: 514, proto: 17, out: 200})
	}
	got := map[string]int64{}
	for _, e := range append(s.score(), s.score()...) {
		if e.Kind == "alert" && e.Body["family"] == "new_device" {
			got[e.Body["device"].(map[string]any)["addresses"].([]any)[0].(string)] = e.Body["notify"].(int64)
		}
	}
	if want := map[string]int64{"10.0.0.8": 0, "10.0.0.9": 1}; !maps.Equal(got, want) {
		t.Errorf("alerts of new devices, 1 = told: %v, want %v", got, want)
	}
}

func TestNewDevice_OneAlertPerIdentity(t *testing.T) {
	const late, phone = 0x240ac4000007, 0xdaa119000001
	s := newSite(t, only("new_device"))
	alerts := func() (out []uint64) {
		t.Helper()
		s.score()
		for _, e := range s.events {
			if e.Kind == "alert" && e.Body["family"] == "new_device" {
				var id uint64
				if _, err := fmt.Sscanf(e.Body["device"].(map[string]any)["id"].(string), "%x", &id); err != nil {
					t.Fatal(err)
				}
				out = append(out, id)
			}
		}
		return out
	}
	s.add(hours(monday, 48, "10.0.0.2", "52.1.1.1", camera)...)
	if got := alerts(); len(got) != 0 {
		t.Fatalf("alerts of %x: a site that is just watched has none", got)
	}
	s.add(hours(monday.Add(48*time.Hour), 30, "10.0.0.7", "52.1.1.1", late)...)
	s.add(hours(monday.Add(48*time.Hour), 5, "10.0.0.50", "52.1.1.1", phone)...)     // gone by night
	s.add(hours(monday.Add(72*time.Hour), 5, "10.0.0.51", "52.1.1.1", phone+1)...)   // another MAC
	s.add(hours(monday.Add(48*time.Hour), 30, "10.0.0.2", "52.1.1.1", camera)...)    // known
	s.add(hours(monday.Add(60*time.Hour), 10, "10.0.0.77", "52.1.1.1", camera+0)...) // renumbered
	if got := alerts(); !slices.Equal(got, []uint64{byMAC(late)}) {
		t.Fatalf("alerts of %x, want one of the device that came, %x", got, byMAC(late))
	}
	for day := 4; day < 9; day++ { // it stays, and is told no more
		s.add(hours(monday.AddDate(0, 0, day), 24, "10.0.0.7", "52.1.1.1", late)...)
		s.commit()
	}
	if got := alerts(); len(got) != 1 {
		t.Fatalf("alerts of %x, want still the one", got)
	}
}

// TestScore_FindingsOfAJoinedDeviceAreTheKeptOnes: two network cards of one box
// scan; one alert of the box tells of both, with the flows of each.
func TestScore_FindingsOfAJoinedDeviceAreTheKeptOnes(t *testing.T) {
	s := newSite(t, only("scan"))
	s.add(life(monday, 8)...)
	s.add(hours(monday, 100, "10.0.0.77", "52.1.1.1", 0x00408c777777)...)
	s.score()
	kept, other := s.find("10.0.0.2"), s.find("10.0.0.77")
	if err := s.Merge(t.Context(), kept, []profile.Device{other}, profile.By{Actor: "ann", Reason: "one box", At: s.received}); err != nil {
		t.Fatal(err)
	}
	at := monday.AddDate(0, 0, 8).Add(12 * time.Hour)
	s.add(scan(at, "10.0.0.77", 0x00408c777777)...)
	s.score()
	list := s.alerts(profile.AlertFilter{})
	if len(list) != 1 || list[0].Device != kept.ID || len(list[0].Flows) != 20 {
		t.Fatalf("%+v; want one alert of %016x with 20 flows", list, kept.ID)
	}
	for _, k := range scan(at.Add(time.Hour), "10.0.0.2", camera) {
		k.to = strings.Replace(k.to, "10.0.1.", "10.0.3.", 1) // whom one id has tried, the device has
		s.add(k)
	}
	s.score()
	if list := s.alerts(profile.AlertFilter{}); len(list) != 1 || list[0].Findings < 2 {
		t.Fatalf("%+v; want the same alert, grown", list)
	}
}
