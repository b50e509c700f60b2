package watch

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"tidemark/enrich/binding"
	"tidemark/enrich/source"
)

// site is a directory with files that a Watch follows, and a clock.
type site struct {
	*Watch
	t     *testing.T
	dir   string
	now   time.Time
	table *binding.Table
	log   strings.Builder
	n     int // tables published
}

func newSite(t *testing.T, inventories []string, files ...File) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), now: time.Unix(1763790000, 0)}
	c := Config{}
	for _, name := range inventories {
		c.Inventories = append(c.Inventories, filepath.Join(s.dir, name))
	}
	for _, f := range files {
		f.Path = filepath.Join(s.dir, f.Path)
		c.Files = append(c.Files, f)
	}
	s.Watch = New(c, Deps{
		Publish: func(t *binding.Table) { s.table = t; s.n++ },
		Log:     zerolog.New(&s.log), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return s.now },
	})
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.later(time.Minute)
}

// later lets time pass and the Watch look.
func (s *site) later(d time.Duration) {
	s.now = s.now.Add(d)
	s.Read()
}

func (s *site) who(addr string, ago time.Duration) uint64 {
	s.t.Helper()
	a := netip.MustParseAddr(addr).As16()
	i := binding.At(s.table.Of(binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:]), 0), s.now.Add(-ago).UnixNano())
	if i == nil {
		return 0
	}
	return i.MAC
}

func (s *site) is(addr string, ago time.Duration, want uint64) {
	s.t.Helper()
	if got := s.who(addr, ago); got != want {
		s.t.Errorf("%s %s ago: %012x, want %012x", addr, ago, got, want)
	}
}

func TestWatch_FollowsLeasesWhileTheyChange(t *testing.T) {
	s := newSite(t, nil, File{Path: "leases", Format: source.Dnsmasq})
	s.Read()
	if st := s.Status()[0]; st.Error != "no such file" || !strings.Contains(s.log.String(), "no such file") {
		t.Errorf("a missing file: %+v", st)
	}
	s.write("leases", "1763800000 00:40:8c:00:00:01 10.0.0.2 cam *\n1763800000 24:0a:c4:00:00:02 10.0.0.3 ")
	s.is("10.0.0.2", 0, 0x00408c000001)
	s.is("10.0.0.3", 0, 0) // half a line
	s.write("leases", "1763800000 00:40:8c:00:00:01 10.0.0.2 cam *\n1763800000 24:0a:c4:00:00:02 10.0.0.3 * *\n")
	s.is("10.0.0.3", 0, 0x240ac4000002)
	n := s.n
	s.later(time.Minute)
	if s.n != n {
		t.Error("published again without a change")
	}
	// The server writes its file anew: for a moment it is empty.
	s.write("leases", "")
	s.is("10.0.0.2", 0, 0x00408c000001)
	s.later(time.Hour)
	s.write("leases", "1763810000 24:0a:c4:00:00:02 10.0.0.2 * *\n")
	s.is("10.0.0.2", 0, 0x240ac4000002)
	s.is("10.0.0.2", 30*time.Minute, 0x00408c000001)
	// Rotation: another file under the same name.
	if err := os.Rename(filepath.Join(s.dir, "leases"), filepath.Join(s.dir, "leases.1")); err != nil {
		t.Fatal(err)
	}
	s.later(time.Minute)
	s.is("10.0.0.2", 0, 0x240ac4000002)
	s.write("leases", "rubbish\n1763810000 00:40:8c:00:00:09 10.0.0.9 * *\n")
	s.is("10.0.0.9", 0, 0x00408c000009)
	if st := s.Status()[0]; st.Bad != 1 || len(st.Faults) != 1 || !strings.HasPrefix(st.Faults[0], "line 1: ") || st.Bindings != 1 || st.Error != "" {
		t.Errorf("status %+v, want one bad line, named", st)
	}
}

func TestWatch_Inventories(t *testing.T) {
	s := newSite(t, []string{"a.csv", "b.yaml"})
	s.write("a.csv", "name,mac,address\nlobby,00:40:8c:00:00:01,10.0.0.2\n")
	s.write("b.yaml", "- {mac: 24:0a:c4:00:00:02, address: 10.0.0.2}\n- {mac: 24:0a:c4:00:00:03, address: 10.0.0.3}\n")
	s.is("10.0.0.2", 0, 0x00408c000001)
	s.is("10.0.0.3", 1000*time.Hour, 0x240ac4000003)
	if st := s.Status()[1]; st.Bad != 1 || len(st.Faults) != 1 || !strings.Contains(st.Faults[0], "00:40:8c:00:00:01 in "+filepath.Join(s.dir, "a.csv")) {
		t.Errorf("two inventories that disagree: %+v", st)
	}
	s.write("b.yaml", "- {mac: [")
	if st := s.Status()[1]; st.Error == "" {
		t.Errorf("a broken inventory has no error: %+v", st)
	}
	s.is("10.0.0.3", 0, 0x240ac4000003) // what it told before
	s.write("b.yaml", "- {mac: 24:0a:c4:00:00:04, address: 10.0.0.4}\n")
	s.later(time.Minute)
	s.is("10.0.0.3", 0, 0)
	s.is("10.0.0.3", time.Hour, 0x240ac4000003) // it was, then
}

// Two whole lists that disagree in every line must not fill the memory and the page
// with it.
func TestWatch_NamesOnlyTheFirstDisagreements(t *testing.T) {
	s := newSite(t, []string{"a.csv", "b.csv"})
	a, b := "mac,address\n", "mac,address\n"
	for i := range 1000 {
		a += fmt.Sprintf("00:40:8c:00:%02x:%02x,10.0.%d.%d\n", i/250, i%250, i/250, i%250)
		b += fmt.Sprintf("00:40:8d:00:%02x:%02x,10.0.%d.%d\n", i/250, i%250, i/250, i%250)
	}
	s.write("a.csv", a)
	s.write("b.csv", b)
	if st := s.Status()[1]; st.Bad != 1000 || len(st.Faults) != maxFaults {
		t.Errorf("%d disagreements, %d named, want 1000 and %d", st.Bad, len(st.Faults), maxFaults)
	}
}

func TestWatch_AFileThatIsTooLongIsRefusedUnread(t *testing.T) {
	s := newSite(t, nil, File{Path: "leases", Format: source.Dnsmasq})
	s.write("leases", "1895000000 00:40:8c:00:00:01 10.0.0.2 * *\n")
	if err := os.Truncate(filepath.Join(s.dir, "leases"), 1<<40); err != nil {
		t.Fatal(err)
	}
	s.later(time.Minute)
	if st := s.Status()[0]; !strings.Contains(st.Error, "1048576 MiB") {
		t.Errorf("a file of 1 TiB: %+v, want that said", st)
	}
	s.is("10.0.0.2", 0, 0x00408c000001)
}
