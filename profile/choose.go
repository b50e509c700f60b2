package profile

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

var (
	//go:embed query/of_kind.sql
	ofKindSQL string
	//go:embed query/matching.sql
	matchingSQL string
	//go:embed query/handled.sql
	handledSQL string
	//go:embed query/open_risks.sql
	openRisksSQL string
	//go:embed query/sort_names.sql
	sortNamesSQL string
	//go:embed query/sort_kinds.sql
	sortKindsSQL string
)

// choose returns the ids that a filter selects, in order, how many there are
// without its limit, and the site. Who is at the site is read whole and joined
// here: one statement of that takes longer to plan than 100,000 devices to read.
func (s *Scorer) choose(ctx context.Context, f DeviceFilter) (ids []uint64, total uint64, all *site, err error) {
	together, within := errgroup.WithContext(ctx)
	said := sayings{kind: map[uint64]struct{}{}, matching: map[uint64]struct{}{}, retired: map[uint64]struct{}{}, handled: map[uint64]struct{}{}, risks: map[uint64]uint8{}}
	together.Go(func() (err error) { all, err = s.readSite(within); return err })
	together.Go(func() error { return s.readSayings(within, f, &said) })
	if err := together.Wait(); err != nil {
		return nil, 0, nil, err
	}
	said.keep(all)
	selected, err := s.selected(ctx, all, &said, f)
	if err != nil {
		return nil, 0, nil, err
	}
	words, err := s.sortWords(ctx, f, selected)
	if err != nil {
		return nil, 0, nil, err
	}
	best := ordered{limit: f.Limit}
	for i := range selected {
		d := &selected[i]
		e := entry{id: d.id, first: d.first, word: words[d.id]}
		switch f.Sort {
		case "risk":
			if worst, ok := said.risks[d.id]; ok {
				e.number = -1 - int64(worst)
			}
		case "last":
			e.number = -d.last
		case "address":
			e.address = d.lowest
		}
		best.add(e)
	}
	for _, e := range best.done() {
		ids = append(ids, e.id)
	}
	return ids, uint64(len(selected)), all, nil
}

// selected are the devices that a filter selects, in no order.
func (s *Scorer) selected(ctx context.Context, all *site, said *sayings, f DeviceFilter) ([]soul, error) {
	at := all.whereabouts(f)
	list := all.souls()
	out := list[:0]
	for i := range list {
		d := &list[i]
		_, router := all.routers[d.id]
		if !router && d.isThere() && s.passes(d, said, f, all.asOf) && at.passes(d, f) && (f.Match == "" || said.matches(d, strings.ToLower(f.Match), at)) {
			out = append(out, *d)
		}
	}
	bare := map[uint64]*soul{}
	for i := range out {
		if out[i].ownMAC() == 0 {
			bare[out[i].id] = &out[i]
		}
	}
	if len(bare) == 0 {
		return out, nil
	}
	hidden, err := s.hidden(ctx, all, bare)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(out, func(d soul) bool {
		_, is := hidden[d.id]
		return is && d.ownMAC() == 0
	}), nil
}

// passes says whether a device passes what of a filter needs no address.
func (s *Scorer) passes(d *soul, said *sayings, f DeviceFilter, asOf time.Time) bool {
	if f.KnownBy != "" && f.KnownBy != d.knownBy() {
		return false
	}
	if f.State != "" {
		_, retired := said.retired[d.id]
		if f.State != s.state(time.UnixMilli(d.first), time.UnixMilli(d.last), asOf, retired) {
			return false
		}
	}
	if f.Kind != "" {
		if _, ok := said.kind[d.id]; !ok {
			return false
		}
	}
	if f.Unapproved {
		if _, ok := said.handled[d.id]; ok {
			return false
		}
	}
	if f.Alerting {
		if _, ok := said.risks[d.id]; !ok {
			return false
		}
	}
	return true
}

// sayings are what is said of ids that a filter or an order asks for.
type sayings struct {
	kind     map[uint64]struct{} // of the kind wanted
	matching map[uint64]struct{} // something said of it has the text in it
	retired  map[uint64]struct{}
	handled  map[uint64]struct{} // approved or retired
	risks    map[uint64]uint8    // of open incidents
}

func (s *Scorer) readSayings(ctx context.Context, f DeviceFilter, said *sayings) error {
	values := map[string]any{"site": s.config.Site, "kind": f.Kind, "match": f.Match}
	together, ctx := errgroup.WithContext(ctx)
	read := func(wanted bool, statement string, fn func(*block)) {
		if wanted {
			together.Go(func() error { return eachBlock(ctx, s, statement, values, fn) })
		}
	}
	into := func(set map[uint64]struct{}) func(*block) {
		return func(b *block) {
			for _, id := range b.uint64s() {
				set[id] = struct{}{}
			}
		}
	}
	read(f.Kind != "", ofKindSQL, into(said.kind))
	read(f.Match != "", matchingSQL, into(said.matching))
	read(f.State != "" || f.Unapproved, handledSQL, func(b *block) {
		devices, retired := b.uint64s(), b.uint8s()
		for i := range b.rows {
			said.handled[devices[i]] = struct{}{}
			if retired[i] == 1 {
				said.retired[devices[i]] = struct{}{}
			}
		}
	})
	read(f.Alerting || f.Sort == "risk", openRisksSQL, func(b *block) {
		devices, worst := b.uint64s(), b.uint8s()
		for i := range b.rows {
			said.risks[devices[i]] = worst[i]
		}
	})
	return together.Wait()
}

// keep gives what is said of an id to its device, where it may be said of any of its
// ids.
func (said *sayings) keep(all *site) {
	matching, risks := map[uint64]struct{}{}, map[uint64]uint8{}
	for id := range said.matching {
		matching[all.kept(id)] = struct{}{}
	}
	for id, worst := range said.risks {
		risks[all.kept(id)] = max(risks[all.kept(id)], worst)
	}
	said.matching, said.risks = matching, risks
}

// matches says whether a text is part of what is said of a device, of its MAC or of
// one of its addresses.
func (said *sayings) matches(d *soul, text string, at *whereabouts) bool {
	if _, ok := said.matching[d.id]; ok {
		return true
	}
	if _, ok := at.matching[d.id]; ok {
		return true
	}
	mac := d.ownMAC()
	return mac != 0 && at.likeMAC && strings.Contains(Device{MAC: mac}.MACString(), text)
}

// whereabouts are which devices have addresses that a filter asks for.
type whereabouts struct {
	inside   map[uint64]struct{} // in its network
	matching map[uint64]struct{} // with its text in one
	likeMAC  bool                // its text may be part of a MAC
}

func (at *whereabouts) passes(d *soul, f DeviceFilter) bool {
	if !f.Network.IsValid() {
		return true
	}
	_, ok := at.inside[d.id]
	return ok
}

// whereabouts looks at the addresses of all devices.
func (all *site) whereabouts(f DeviceFilter) *whereabouts {
	at := &whereabouts{inside: map[uint64]struct{}{}, matching: map[uint64]struct{}{}}
	text := strings.ToLower(f.Match)
	at.likeMAC = strings.Trim(text, "0123456789abcdef:") == ""
	likeAddress := f.Match != "" && strings.Trim(text, "0123456789abcdef:.") == ""
	var low, high [16]byte
	if f.Network.IsValid() {
		l, h := prefixRange(f.Network)
		low, high = l.As16(), h.As16()
	} else if !likeAddress {
		return at
	}
	var written []byte
	for i := range all.glimpses {
		g := &all.glimpses[i]
		for _, a := range all.of(g) {
			if isNowhere(a) {
				continue
			}
			if f.Network.IsValid() && bytes.Compare(low[:], a[:]) <= 0 && bytes.Compare(a[:], high[:]) <= 0 {
				at.inside[all.kept(g.device)] = struct{}{}
			}
			if likeAddress {
				if written = netip.AddrFrom16(a).AppendTo(written[:0]); bytes.Contains(written, []byte(text)) {
					at.matching[all.kept(g.device)] = struct{}{}
				}
			}
		}
	}
	return at
}

// sortWords are the words by which devices are put in order, by id: what they are
// called, or of which kind they are. What people say goes first, then what was said
// last.
func (s *Scorer) sortWords(ctx context.Context, f DeviceFilter, list []soul) (map[uint64]string, error) {
	statement, ok := map[string]string{"name": sortNamesSQL, "kind": sortKindsSQL}[f.Sort]
	if !ok {
		return nil, nil
	}
	ids, all := []uint64{}, len(list) > idsPerQuery
	for i := range list {
		if !all {
			ids = append(ids, list[i].id)
		}
	}
	type word struct {
		text string
		rank uint8
		at   int64
	}
	words := map[uint64]word{}
	err := eachBlock(ctx, s, statement, map[string]any{"site": s.config.Site, "ids": ids, "all": all}, func(b *block) {
		devices, texts, ranks, times := b.uint64s(), b.texts(), b.uint8s(), b.times()
		for i := range b.rows {
			w := word{texts[i], ranks[i], times[i]}
			if have, ok := words[devices[i]]; !ok || w.rank > have.rank || w.rank == have.rank && w.at > have.at {
				words[devices[i]] = w
			}
		}
	})
	out := make(map[uint64]string, len(words))
	for id, w := range words {
		out[id] = w.text
	}
	return out, err
}

// entry is a device with what it is put in order by; what an order does not ask for
// is the same for all.
type entry struct {
	id      uint64
	first   int64
	number  int64
	word    string   // none comes last
	address [16]byte // IPv4 comes first: ::ffff:0:0/96 is low
}

func (a *entry) compare(b *entry) int {
	if c := cmp.Compare(a.number, b.number); c != 0 {
		return c
	}
	if a.word != b.word {
		switch {
		case a.word == "":
			return 1
		case b.word == "":
			return -1
		}
		return strings.Compare(a.word, b.word)
	}
	if c := bytes.Compare(a.address[:], b.address[:]); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.id, b.id))
}

// ordered keeps the first entries of a list, limit of them or all (0).
type ordered struct {
	limit uint64
	list  []entry
	full  bool // the first limit of the list are in order, and no other before them
}

func (o *ordered) add(e entry) {
	if o.full && e.compare(&o.list[o.limit-1]) > 0 {
		return
	}
	if o.list = append(o.list, e); o.limit > 0 && uint64(len(o.list)) >= 2*o.limit {
		o.done()
	}
}

func (o *ordered) done() []entry {
	slices.SortFunc(o.list, func(a, b entry) int { return a.compare(&b) })
	if o.limit > 0 && uint64(len(o.list)) >= o.limit {
		o.list, o.full = o.list[:o.limit], true
	}
	return o.list
}
