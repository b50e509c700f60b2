// Package enrich fills the enrichment columns of a flow.Batch: detection time,
// device identity, scope, and who began a conversation.
//
// It does no network I/O and keeps bounded state; one goroutine calls Apply.
// What it has learned is lost with the process: Seed gives it back.
package enrich

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"tidemark/collector/flow"
	"tidemark/enrich/binding"
)

// Config says what belongs to the site. A zero field means its default.
type Config struct {
	Site     string         // part of every device id
	Networks []netip.Prefix // the site's networks; default DefaultNetworks
	Gateways []uint64       // MACs known to be routers, beside those recognised
	Routers  []netip.Addr   // addresses known to be routers' own
}

// DefaultNetworks are the private networks of RFC 1918 and RFC 4193 and the
// link-local ones of RFC 3927 and RFC 4291.
func DefaultNetworks() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
	}
}

// Enricher holds what must be remembered from one batch to the next: which MAC
// has which addresses, which MACs are gateways, and open conversations.
type Enricher struct {
	site          string
	networks      networks
	identity      *identity
	conversations *recent[uint64, conversation]
	servers       *recent[serverKey, serverPort]
	bindings      atomic.Pointer[binding.Table]
	exportClock   int64 // latest export time of an exporter whose clock is trusted
	rows          []row // scratch, one per record of the batch at work
	touched       uint64
}

// row is what the first pass over a batch leaves for the second.
type row struct {
	src, dst side
	conv     *conversation
	reversed bool // the source is the higher end of the conversation
}

// New checks the configuration. It does no work.
func New(c Config) (*Enricher, error) {
	if c.Networks == nil {
		c.Networks = DefaultNetworks()
	}
	for _, p := range c.Networks {
		if !p.IsValid() {
			return nil, fmt.Errorf("site networks: %q is no prefix; write them as 192.168.0.0/16", p)
		}
	}
	e := &Enricher{
		site:          c.Site,
		identity:      newIdentity(c.Site),
		conversations: newRecent[uint64, conversation](maxConversations, hashWord),
		servers:       newRecent[serverKey, serverPort](maxServers, serverKey.hash),
	}
	for _, p := range c.Networks {
		e.networks.add(p)
	}
	for _, mac := range c.Gateways {
		e.identity.gateways[mac] = true
	}
	for _, a := range c.Routers {
		a16 := a.As16()
		e.identity.routers[hostKey{addr: makeAddress(&a16)}] = true
	}
	return e, nil
}

// Apply fills the enrichment columns of every record of b. It reads the batch
// twice: what any record of the batch proves (a MAC is a gateway's, an address
// belongs to a MAC, a host began a conversation) holds for all of them, in
// whatever order an exporter sent them.
func (e *Enricher) Apply(b *flow.Batch) {
	e.identity.adopt(e.bindings.Load())
	n := b.Len()
	if cap(e.rows) < n {
		e.rows = make([]row, n)
	}
	e.rows = e.rows[:n]
	for begin := 0; begin < n; begin += together {
		end := min(begin+together, n)
		for i := begin; i < end; i++ {
			e.clock(b, i)
			e.place(b, i, &e.rows[i])
		}
		e.touched += touch(e.conversations, b.Conversation[begin:end])
		for i := begin; i < end; i++ {
			e.observe(b, i, &e.rows[i])
		}
	}
	for i := range n {
		e.resolve(b, i, &e.rows[i])
	}
}

// together is how many records are looked up side by side: their conversations,
// which are seldom in the cache, are then fetched at the same time and not one
// after the other.
const together = 128

// place says what the record itself shows of its two ends, and names its
// conversation.
func (e *Enricher) place(b *flow.Batch, i int, r *row) {
	has := b.Presence[i]
	r.src = side{addr: makeAddress(&b.SrcAddr[i]), mac: unicastMAC(b.SrcMAC[i], has&flow.HasSrcMAC != 0)}
	r.dst = side{addr: makeAddress(&b.DstAddr[i]), mac: unicastMAC(b.DstMAC[i], has&flow.HasDstMAC != 0)}
	r.src.vrf, r.dst.vrf = vrf(b, i)
	r.src.place = e.networks.place(r.src.addr)
	r.dst.place = e.networks.place(r.dst.addr)
	if has&flow.HasDstMAC != 0 && b.DstMAC[i]&groupMAC != 0 {
		r.dst.place = placeGroup
	}
	low, high := r.ends(b, i)
	b.Conversation[i] = hashConversation(low, high, b.Proto[i], min(r.src.vrf, r.dst.vrf))
}

// observe is the first pass: it learns from record i.
func (e *Enricher) observe(b *flow.Batch, i int, r *row) {
	t := b.EventEnd[i]
	e.observeOnLink(&r.src)
	e.observeOnLink(&r.dst)
	e.identity.observe(&r.src, t, true)
	e.identity.observe(&r.dst, t, false)
	if b.Ext.Count(i) > 0 {
		e.observeRouters(b, i, r)
	}
	e.observeConversation(b, i, r)
}

// observeOnLink learns that a network is the site's own from a global IPv6
// address that its owner made of its MAC (EUI-64, RFC 4291, Appendix A): only
// the host itself sends from such an address with such a MAC.
func (e *Enricher) observeOnLink(s *side) {
	if s.place == placeOutside && s.mac != 0 && !s.addr.is4() && s.addr.lo == eui64(s.mac) {
		if e.networks.addOnLink(s.addr.hi) {
			s.place = placeInside
		}
	}
}

// resolve is the second pass: it writes what is known of record i.
func (e *Enricher) resolve(b *flow.Batch, i int, r *row) {
	t := b.EventEnd[i]
	if r.dst.place == placeInside && b.DstAddr[i][15] == 255 && r.dst.addr.is4() && !e.identity.sends(&r.dst) {
		r.dst.place = placeGroup // the broadcast address of a subnet nobody told us of
	}
	b.SrcDevice[i], b.SrcIdentity[i] = e.identity.resolve(&r.src, b.EventStart[i], t, true)
	b.DstDevice[i], b.DstIdentity[i] = e.identity.resolve(&r.dst, b.EventStart[i], t, false)
	b.Scope[i] = scope(b, i, r)
	e.resolveInitiator(b, i, r)
}

// vrf reads ingressVRFID and egressVRFID (IE 234, 235): the same address in
// two VRFs is two hosts. Without them everything is in VRF 0.
func vrf(b *flow.Batch, i int) (src, dst uint32) {
	if b.Ext.Count(i) == 0 {
		return 0, 0
	}
	src = extensionUint32(b, i, 234)
	dst = extensionUint32(b, i, 235)
	if dst == 0 {
		dst = src
	}
	return src, dst
}

func extensionUint32(b *flow.Batch, i int, ie uint16) (n uint32) {
	v, _ := b.Ext.Value(i, flow.ExtensionKey(0, ie))
	if len(v) > 4 {
		return 0
	}
	for _, c := range v {
		n = n<<8 | uint32(c)
	}
	return n
}
