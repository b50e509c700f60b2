package profile_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector"
	"tidemark/collector/flow"
	"tidemark/profile"
)

// capture returns the path of a real capture, which stands beside the project.
func capture(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("TIDEMARK_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "captures")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("captures are needed here: %v", err)
		}
		t.Skipf("no capture: %v; set TIDEMARK_CAPTURES to the directory of captures", err)
	}
	return path
}

// replay decodes captures of exports and commits them in batches of rows.
func (s *site) replay(rows int, files ...string) {
	s.t.Helper()
	c, err := collector.New(collector.Config{
		Exporters: []collector.ExporterConfig{{Address: collector.Network{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, Clock: collector.AsExported}},
	}, collector.Deps{
		Log: zerolog.Nop(),
		Handle: func(_ context.Context, b *flow.Batch) error {
			for begin := 0; begin < b.Len(); {
				end := min(b.Len(), begin+rows-s.batch.Len())
				s.batch.Append(b, begin, end)
				begin = end
				if s.batch.Len() >= rows {
					s.commit()
				}
			}
			return nil
		},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.Replay(s.t.Context(), collector.ReplayOptions{Files: files}); err != nil {
		s.t.Fatal(err)
	}
	if s.batch.Len() > 0 {
		s.commit()
	}
}

// TestCaptures_SevenDays: five real devices over seven days, as softflowd
// exported them. Each is found with its vendor, peers and hours, and after a
// learning period of two, three or five days no detector speaks.
func TestCaptures_SevenDays(t *testing.T) {
	tests := []struct {
		file, device, vendor string
		mac                  bool
		uses                 string // a service it uses
		peer                 string // a network it talks to
		hours                int    // of the week in which it does anything, at least
	}{
		{"blink-cam-01.softflowd-v9-ether-300s", "192.168.1.129", "Texas Instruments", true, "https", "3.227.188.0/24", 10},
		{"blink-cam-03.softflowd-v5-300s", "192.168.1.126", "", false, "https", "52.70.158.0/24", 10},
		{"schlage-lock-01.softflowd-ipfix-biflow-300s", "192.168.1.122", "Texas Instruments", true, "https", "52.89.250.0/24", 150},
		{"sifely-hub-01.softflowd-ipfix-ether-300s", "192.168.1.127", "Espressif Inc.", true, "kasa", "8.209.66.0/24", 150},
		{"ultraloq-hub-01.softflowd-v9-ether-300s", "192.168.1.125", "Espressif Inc.", true, "", "44.239.159.0/24", 150},
	}
	for _, tt := range tests {
		path := capture(t, filepath.Join("iot", "generated", tt.file+".pcap"))
		t.Run(strings.Split(tt.file, ".")[0], func(t *testing.T) {
			s := newSite(t, profile.Config{LearningPeriod: 3 * 24 * time.Hour})
			silent := func(how string, events []profile.Event) {
				t.Helper()
				if len(events) > 0 {
					t.Errorf("%s: raised %s", how, strings.Join(texts(events), "\n"))
				}
			}
			s.committed = func() { silent("scored batch by batch, learning 3 days", s.score()) }
			s.replay(3000, path)
			for _, days := range []int{2, 5} {
				silent(fmt.Sprintf("scored at once, learning %d days", days), s.again(profile.Config{LearningPeriod: time.Duration(days) * 24 * time.Hour}).score())
			}
			d, err := s.Device(t.Context(), tt.device)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(d.Vendor, tt.vendor) || (d.MAC != 0) != tt.mac || d.Learning != profile.LearningDone {
				t.Errorf("got %+v", d)
			}
			if span := d.Last.Sub(d.First); span < 6*24*time.Hour || span > 8*24*time.Hour {
				t.Errorf("known from %s to %s, want seven days", d.First, d.Last)
			}
			b, err := s.Baseline(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(b.Peers, func(p profile.Peer) bool { return p.Network == tt.peer }) {
				t.Errorf("peers %v, want %s", b.Peers, tt.peer)
			}
			if tt.uses != "" && !slices.ContainsFunc(d.Uses, func(v profile.Service) bool { return v.Name == tt.uses }) {
				t.Errorf("uses %v, want %s", d.Uses, tt.uses)
			}
			hours := 0
			for _, day := range b.Hours {
				for _, h := range day {
					if h.Bytes > 0 {
						hours++
					}
				}
			}
			if hours < tt.hours {
				t.Errorf("active in %d hours of the week, want %d or more", hours, tt.hours)
			}
			t.Logf("%s: %d peers and services, active in %d hours of the week", d.Title(), len(b.Peers), hours)
		})
	}
}
