package names_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"tidemark/enrich/names"
	"tidemark/storage/storagetest"
)

// resolver knows some names, and who was asked for.
type resolver struct {
	mu    sync.Mutex
	names map[string][]string
	asked []string
}

func (r *resolver) LookupAddr(_ context.Context, addr string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, addr)
	if n := r.names[addr]; n != nil {
		return n, nil
	}
	return nil, errors.New("no such host")
}

// TestReverser_AsksOnceForWhatHasNoName: peers outside only, those without a name
// only, and one that has none not again the same day. What is no name is not kept.
func TestReverser_AsksOnceForWhatHasNoName(t *testing.T) {
	db := storagetest.Open(t)
	fill := []string{
		`INSERT INTO edges (device, role, scope, peer, proto, port, day, received, observer, peer_addr, flows)
			SELECT 1, 'client', if(number = 4, 'lan', 'wan'), number, 6, 443, today(), today(), 1,
				toIPv6(['198.51.100.1', '198.51.100.2', '198.51.100.3', '198.51.100.4', '10.0.0.9'][number + 1]), 10 - number
			FROM numbers(5)`,
		`INSERT INTO names (site, addr, name, source, received, first, last, seen) SELECT 'home', toIPv6('::ffff:198.51.100.2'), 'known.example.com', 'dns', today(), now(), now(), 1`,
	}
	for _, statement := range fill {
		if err := db.Conn().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	book, err := names.New(db, names.Config{Site: "home", Inside: netip.Addr.IsPrivate})
	if err != nil {
		t.Fatal(err)
	}
	dns := &resolver{names: map[string][]string{"198.51.100.1": {"Edge.Example.NET."}, "198.51.100.3": {"<script>.example.net.", "-"}}}
	now := time.Now()
	r := names.NewReverser(book, dns, func() time.Time { return now })
	ask := func() []string {
		t.Helper()
		dns.asked = nil
		if err := r.Ask(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := book.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		slices.Sort(dns.asked)
		return dns.asked
	}
	if got, want := ask(), []string{"198.51.100.1", "198.51.100.3", "198.51.100.4"}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	if got := ask(); len(got) != 0 {
		t.Errorf("asked again for %q", got)
	}
	now = now.Add(25 * time.Hour)
	if got, want := ask(), []string{"198.51.100.3", "198.51.100.4"}; !slices.Equal(got, want) {
		t.Errorf("a day later asked for %q, want %q", got, want)
	}
	rows, err := db.Conn().Query(t.Context(), "SELECT DISTINCT name, toString(source) FROM names WHERE site = 'home' ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var name, source string
		if err := rows.Scan(&name, &source); err != nil {
			t.Fatal(err)
		}
		got = append(got, name+" "+source)
	}
	if want := []string{"edge.example.net reverse", "known.example.com dns"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}
