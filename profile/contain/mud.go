package contain

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	mudDays = 3  // an edge seen on fewer days is not yet normal
	mudSure = 80 // percent: whoever began must be known this well
)

// MUDOptions names the device in its MUD file.
type MUDOptions struct {
	URL   string // where the file will be served, https
	Info  string // what the device is
	Made  time.Time
	Local func(netip.Addr) bool // inside the site
}

// MUD writes what the device normally does as a Manufacturer Usage Description
// (RFC 8520), and returns the edges it leaves out: too young, mostly failing, or
// nobody knows who began. It is a proposal: nothing here has seen the device do
// everything it must be able to do.
func MUD(o MUDOptions, edges []Edge) (file []byte, left []Edge, err error) {
	lists := map[string][]any{}
	seen := map[string]bool{}
	for _, e := range edges {
		if e.Days < mudDays || e.Sure < mudSure || e.Failed*2 > e.Flows {
			left = append(left, e)
			continue
		}
		for _, way := range []string{"to", "from"} {
			ace, key := o.entry(&e, way, len(seen)+1)
			if !seen[key] {
				seen[key] = true
				name := way + "-" + familyOf(e.Peer)
				lists[name] = append(lists[name], ace)
			}
		}
	}
	policy := func(way string) map[string]any {
		var names []any
		for _, f := range []string{"ipv4", "ipv6"} {
			if len(lists[way+"-"+f]) > 0 {
				names = append(names, map[string]any{"name": way + "-" + f})
			}
		}
		return map[string]any{"access-lists": map[string]any{"access-list": names}}
	}
	var acls []any
	for _, way := range []string{"to", "from"} {
		for _, f := range []string{"ipv4", "ipv6"} {
			if aces := lists[way+"-"+f]; len(aces) > 0 {
				acls = append(acls, map[string]any{"name": way + "-" + f, "type": f + "-acl-type", "aces": map[string]any{"ace": aces}})
			}
		}
	}
	if len(acls) == 0 {
		return nil, left, fmt.Errorf("write MUD file: no edge was seen on %d days with a known beginner yet: learn longer", mudDays)
	}
	file, err = json.MarshalIndent(map[string]any{
		"ietf-mud:mud": map[string]any{
			"mud-version": 1, "mud-url": o.URL, "last-update": o.Made.UTC().Format("2006-01-02T15:04:05+00:00"), "cache-validity": 48, "is-supported": true,
			"systeminfo":         strings.ToValidUTF8(o.Info[:min(len(o.Info), 60)], ""), // RFC 8520 section 3.6: 60 characters
			"from-device-policy": policy("from"), "to-device-policy": policy("to"),
		},
		"ietf-access-control-list:acls": map[string]any{"acl": acls},
	}, "", "  ")
	return append(file, '\n'), left, err
}

func familyOf(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// entry is the access list entry for one direction of an edge, and a key that
// is equal for equal entries.
func (o *MUDOptions) entry(e *Edge, way string, number int) (map[string]any, string) {
	matches := map[string]any{}
	ip := map[string]any{"protocol": e.Proto}
	peer := e.peers().Masked()
	inside := o.Local != nil && o.Local(e.Peer)
	if inside {
		matches["ietf-mud:mud"] = map[string]any{"local-networks": []any{nil}}
		peer = netip.Prefix{}
	} else if way == "from" {
		ip["destination-"+familyOf(e.Peer)+"-network"] = peer.String()
	} else {
		ip["source-"+familyOf(e.Peer)+"-network"] = peer.String()
	}
	matches[familyOf(e.Peer)] = ip
	// The service's port is the responder's: the destination of packets that go to it.
	side := "destination-port"
	if e.Server == (way == "from") {
		side = "source-port"
	}
	if hasPorts(e.Proto) && e.Port != 0 {
		ports := map[string]any{side: map[string]any{"operator": "eq", "port": e.Port}}
		if e.Proto == 6 {
			ports["ietf-mud:direction-initiated"] = map[bool]string{true: "to-device", false: "from-device"}[e.Server]
		}
		if name := protocol(e.Proto); slices.Contains([]string{"tcp", "udp"}, name) {
			matches[name] = ports
		}
	}
	return map[string]any{
		"name": fmt.Sprintf("%s%d", way, number), "matches": matches, "actions": map[string]any{"forwarding": "accept"},
	}, fmt.Sprint(way, familyOf(e.Peer), peer, inside, e.Proto, side, e.Port, e.Server)
}
