package profile

import (
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/storage/storagetest"
)

// The catalogue as one statement each: what the ones put together by need must
// give. They are too slow to plan for 100,000 devices.
var (
	//go:embed testdata/device_ids.sql
	wholeIDsSQL string
	//go:embed testdata/devices.sql
	wholeDevicesSQL string
	//go:embed testdata/catalogue.sql
	populateSQL string
)

// TestCatalogue_SameAsInOneStatement asks a site in which everything occurs that
// the catalogue has a rule for, then the same as its parts are taken away.
func TestCatalogue_SameAsInOneStatement(t *testing.T) {
	db := storagetest.Open(t)
	s, err := New(db, Config{Site: "home", Vendor: func(uint64) string { return "" }, Service: func(uint8, uint16) string { return "" }}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	for statement := range strings.SplitSeq(strings.TrimSuffix(populateSQL, ";\n"), ";\n") {
		if err := db.Conn().Exec(t.Context(), statement); err != nil {
			t.Fatalf("%v\n%s", err, statement)
		}
	}
	for _, without := range []string{"", "device_aliases", "identity_intervals", "device_lives"} {
		if without == "device_lives" { // those with a MAC stay
			err = db.Conn().Exec(t.Context(), "ALTER TABLE device_lives DELETE WHERE identity != 'mac' SETTINGS mutations_sync = 1")
		} else if without != "" {
			err = db.Conn().Exec(t.Context(), "TRUNCATE TABLE "+without)
		}
		if err != nil {
			t.Fatal(err)
		}
		compareCatalogue(t, s, without == "")
	}
}

func compareCatalogue(t *testing.T, s *Scorer, all bool) {
	t.Helper()
	filters := []DeviceFilter{
		{}, {Sort: "address"}, {KnownBy: "mac", Sort: "last"}, {Match: "host-1", Sort: "name"}, {State: DeviceActive, Network: netip.MustParsePrefix("10.0.1.0/24"), Sort: "address"},
	}
	if all {
		filters = append(filters,
			DeviceFilter{Sort: "address", Limit: 20}, DeviceFilter{Sort: "kind", KnownBy: "assigned"}, DeviceFilter{State: DeviceNew, Unapproved: true}, DeviceFilter{State: DeviceLearning},
			DeviceFilter{State: DeviceSilent}, DeviceFilter{State: DeviceRetired}, DeviceFilter{Kind: "camera"}, DeviceFilter{Kind: "printer", Sort: "risk"}, DeviceFilter{KnownBy: "address"},
			DeviceFilter{KnownBy: "gateway", Sort: "last"}, DeviceFilter{Network: netip.MustParsePrefix("2001:db8::/32")}, DeviceFilter{Match: "10.0.2."}, DeviceFilter{Match: "00:40:8C"},
			DeviceFilter{Sort: "name"}, DeviceFilter{Sort: "name", Match: "e", Limit: 7}, DeviceFilter{Sort: "risk", Limit: 40}, DeviceFilter{Sort: "last", KnownBy: "address", Limit: 3}, DeviceFilter{Unapproved: true, Sort: "risk"},
			DeviceFilter{Alerting: true, Sort: "kind"}, DeviceFilter{Match: "2001:db8:1::", KnownBy: "mac"}, DeviceFilter{Match: "bare-1", Sort: "address"}, DeviceFilter{Network: netip.MustParsePrefix("::/0"), Sort: "address", Limit: 11},
			DeviceFilter{Network: netip.MustParsePrefix("10.0.0.0/8"), Kind: "printer", State: DeviceSilent}, DeviceFilter{Network: netip.MustParsePrefix("192.168.0.0/16"), Sort: "last"}, DeviceFilter{Match: "254", Limit: 5},
			DeviceFilter{Match: "camera", Sort: "kind"}, DeviceFilter{Match: "office"}, DeviceFilter{Match: "böx"}, DeviceFilter{Alerting: true, Kind: "camera", State: DeviceActive, Sort: "address"},
		)
	}
	most := 0
	for _, f := range filters {
		want := wholeIDs(t, s, f)
		got, _, _, err := s.choose(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %d devices, want %d, or in another order", f, len(got), len(want))
		}
		most = max(most, len(got))
	}
	if most < 100 {
		t.Fatalf("%d devices, want a site that shows something", most)
	}
	ids, _, _, err := s.choose(t.Context(), DeviceFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, asked := range [][]uint64{ids, ids[:50]} {
		got, err := s.details(t.Context(), asked)
		if err != nil {
			t.Fatal(err)
		}
		want := wholeDevices(t, s, asked)
		chosen, _, err := s.chosen(t.Context(), DeviceFilter{Limit: uint64(len(asked))})
		if err != nil || len(chosen) != len(asked) {
			t.Fatalf("%d devices with the filter's limit, %v, want %d", len(chosen), err, len(asked))
		}
		for _, d := range slices.Concat(got, chosen) {
			slices.Sort(d.Members)
			if text := fmt.Sprintf("%+v", d); text != want[d.ID] {
				t.Errorf("device %s\n%s, want\n%s", d.Name(), text, want[d.ID])
			}
		}
		if len(got) != len(asked) {
			t.Errorf("%d devices, want %d", len(got), len(asked))
		}
	}
}

func wholeIDs(t *testing.T, s *Scorer, f DeviceFilter) []uint64 {
	t.Helper()
	low, high := netip.IPv6Unspecified(), netip.IPv6Unspecified()
	if f.Network.IsValid() {
		low, high = prefixRange(f.Network)
	}
	limit := f.Limit
	if limit == 0 {
		limit = 1 << 60
	}
	values := map[string]any{
		"site": s.config.Site, "learning": uint64(s.config.LearningPeriod / time.Second), "silence": uint64(SilentAfter / time.Second),
		"state": string(f.State), "kind": f.Kind, "known_by": f.KnownBy, "match": f.Match, "unapproved": f.Unapproved, "alerting": f.Alerting,
		"bits": f.Network.IsValid(), "low": low, "high": high, "sort": f.Sort, "limit": limit,
	}
	ids, err := query(t.Context(), s, wholeIDsSQL, values, func(r row, id *uint64) error {
		var state string
		var total uint64
		return r.Scan(id, &state, &total)
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// wholeDevices gives devices as text, by id.
func wholeDevices(t *testing.T, s *Scorer, ids []uint64) map[uint64]string {
	t.Helper()
	values := map[string]any{"site": s.config.Site, "ids": ids, "learning": uint64(s.config.LearningPeriod / time.Second), "silence": uint64(SilentAfter / time.Second)}
	out := map[uint64]string{}
	err := each(t.Context(), s, wholeDevicesSQL, values, func(r row) error {
		d := Device{Facts: map[string]string{}}
		var asOf time.Time
		var addresses, names, facts []string
		var state string
		err := r.Scan(&d.ID, &d.Label, &d.Host, &d.Identity, &d.MAC, &addresses, &d.First, &d.Last, &asOf, &d.Alerts, &d.Risk, &d.Members, &names, &facts, &state, &d.Kind, &d.IoT)
		if err != nil {
			return err
		}
		for _, text := range addresses {
			d.Addresses = append(d.Addresses, netip.MustParseAddr(text).Unmap())
		}
		for i, name := range names {
			d.Facts[name] = facts[i]
		}
		d.First, d.Last = d.First.UTC(), d.Last.UTC()
		slices.Sort(d.Members)
		d = s.complete(d, asOf)
		if string(d.State) != state {
			t.Errorf("device %s is %s, want %s", d.Name(), d.State, state)
		}
		out[d.ID] = fmt.Sprintf("%+v", d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
