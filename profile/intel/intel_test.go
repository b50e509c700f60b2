package intel

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const list = "\ufeff# a feed\n192.0.2.1\n192.0.2.0/24 a whole network\r\n2001:db8::/32,\"bots\"\n ; old style\n::ffff:198.51.100.7 # mapped\n203.0.113.0/25|x"

func TestLists_SmallestNetworkAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, list)
	l := New([]Source{{"feed", path}})
	if changed, err := l.Refresh(); !changed || err != nil || l.Len() != 5 {
		t.Fatalf("got %v, %v, %d entries, want 5 without a fault", changed, err, l.Len())
	}
	for addr, want := range map[string]string{
		"192.0.2.1": "", "192.0.2.2": "a whole network", "2001:db8:1::9": "bots", "198.51.100.7": "mapped", "203.0.113.127": "x", "::ffff:192.0.2.9": "a whole network",
	} {
		if e, ok := l.Find(netip.MustParseAddr(addr)); !ok || e != (Entry{"feed", want}) {
			t.Errorf("%s: got %v %v, want note %q", addr, e, ok, want)
		}
	}
	for _, addr := range []string{"192.0.3.1", "203.0.113.128", "2001:db9::1", "198.51.100.8"} {
		if e, ok := l.Find(netip.MustParseAddr(addr)); ok {
			t.Errorf("%s is listed: %v", addr, e)
		}
	}
	if changed, err := l.Refresh(); changed || err != nil {
		t.Errorf("read again without a change: %v", err)
	}
}

func TestLists_RubbishIsToldAndTheRestIsUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "10.0.0.1\n<html>\n0.0.0.0/0\n"+strings.Repeat("x", 3*maxLine)+"\n"+strings.Repeat("bad\n", 20)+"10.0.0.2")
	l := New([]Source{{"feed", path}})
	changed, err := l.Refresh()
	if !changed || err == nil || l.Len() != 2 {
		t.Fatalf("got %v, %v, %d entries, want 2 and the faults", changed, err, l.Len())
	}
	for _, want := range []string{`line 2: got "<html>"`, `line 3: got "0.0.0.0/0"`, "line 4:", "23 lines could not be read"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n > maxFaults {
		t.Errorf("%d lines of faults", n)
	}
}

func TestLists_ChangesAreFollowedAndALostFileKeepsWhatWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	write(t, path, "10.0.0.1")
	l := New([]Source{{"feed", path}})
	l.Refresh()
	write(t, path, "10.0.0.1\n10.0.0.2")
	os.Chtimes(path, time.Now(), time.Now().Add(time.Minute))
	if changed, err := l.Refresh(); !changed || err != nil || l.Len() != 2 {
		t.Errorf("got %v, %v, %d entries after a change, want 2", changed, err, l.Len())
	}
	os.Remove(path)
	if changed, err := l.Refresh(); changed || err == nil || l.Len() != 2 {
		t.Errorf("got %v, %v, %d entries without the file, want the 2 from before and an error", changed, err, l.Len())
	}
	write(t, path, "10.0.0.3")
	if changed, err := l.Refresh(); !changed || err != nil || l.Len() != 1 {
		t.Errorf("got %v, %v, %d entries when it is back, want 1", changed, err, l.Len())
	}
}

func TestLists_NoneFindNothing(t *testing.T) {
	var none *Lists
	if changed, err := none.Refresh(); changed || err != nil {
		t.Error("no lists changed")
	}
	if _, ok := New(nil).Find(netip.MustParseAddr("10.0.0.1")); ok {
		t.Error("found in no list")
	}
}

func FuzzSplitAndParse(f *testing.F) {
	for line := range strings.Lines(list) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		network, note := split(line)
		if p, ok := parse(network); ok && (!p.IsValid() || p != p.Masked() || len(note) > 120) {
			t.Errorf("%q: got %v, %q", line, p, note)
		}
	})
}
