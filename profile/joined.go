package profile

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	//go:embed query/joined.sql
	joinedSQL string
	//go:embed query/joined_contacts.sql
	joinedContactsSQL string
	//go:embed query/joined_edges.sql
	joinedEdgesSQL string
	//go:embed query/joined_devices.sql
	joinedDevicesSQL string
	//go:embed query/joined_hours.sql
	joinedHoursSQL string
	//go:embed query/joined_flows.sql
	joinedFlowsSQL string
)

// maxJoined is how many ids that are another device's detectors read under that
// device's id, those that were joined last. Statements hold them. A device that was
// joined earlier than so many others goes by its own history since.
const maxJoined = 2000

// joined are ids that are another device's, with that device: under its id
// detectors read history and new contacts, so that a device first known by its
// address, or joined by an operator, goes on with what was learned of it. Stored
// rows stay as they are, so an alias that is taken back parts them again.
type joined struct{ ids, targets []uint64 }

// refreshJoined reads which ids are another device's.
func (s *Scorer) refreshJoined(ctx context.Context) error {
	var j joined
	err := eachBlock(ctx, s, joinedSQL, map[string]any{"site": s.config.Site, "limit": uint64(maxJoined)}, func(b *block) {
		ids, targets := b.uint64s(), b.uint64s()
		if b.rows > 0 {
			j.ids, j.targets = append(j.ids, ids...), append(j.targets, targets...)
		}
	})
	if err != nil {
		return fmt.Errorf("read ids that are another device's: %w", err)
	}
	if !slices.Equal(j.ids, s.joined.ids) || !slices.Equal(j.targets, s.joined.targets) {
		clear(s.gate.begun) // edges are others' now
	}
	s.joined, s.near = j, j
	return nil
}

// among are the ids that are one of some devices.
func (j *joined) among(device uint64, others ...uint64) joined {
	if len(j.ids) == 0 {
		return joined{}
	}
	devices := map[uint64]bool{device: true}
	for _, id := range others {
		devices[id] = true
	}
	return j.those(devices)
}

func (j *joined) those(devices map[uint64]bool) (out joined) {
	for i, target := range j.targets {
		if devices[target] {
			out.ids, out.targets = append(out.ids, j.ids[i]), append(out.targets, target)
		}
	}
	return out
}

// of are the ids of some devices that new contacts, as touched gives them, have to
// do with.
func (j *joined) of(touched map[edge]int64) joined {
	if len(j.ids) == 0 {
		return joined{}
	}
	devices := map[uint64]bool{}
	for e := range touched {
		devices[e.device], devices[e.peer] = true, true
	}
	return j.those(devices)
}

var whose = regexp.MustCompile(`\bFROM (contacts|edges|devices|volumes_1h|flows)\b( AS \w+)?`)

// join makes a statement read devices under the ids they are kept by.
func (j *joined) join(sql string) string {
	if len(j.ids) == 0 || !whose.MatchString(sql) {
		return sql
	}
	sql = whose.ReplaceAllStringFunc(sql, func(read string) string {
		m := whose.FindStringSubmatch(read)
		rows := map[string]string{
			"contacts": joinedContactsSQL, "edges": joinedEdgesSQL, "devices": joinedDevicesSQL, "volumes_1h": joinedHoursSQL, "flows": joinedFlowsSQL,
		}[m[1]]
		alias := m[2]
		if alias == "" {
			alias = " AS " + m[1]
		}
		return "FROM " + strings.TrimSpace(rows) + alias
	})
	const names = "WITH\n    {joined_ids:Array} AS joined_ids,\n    {joined_targets:Array} AS joined_targets"
	if begin := strings.Index("\n"+sql, "\nWITH"); begin >= 0 {
		return sql[:begin] + names + "," + sql[begin+len("WITH"):]
	}
	return names + "\n" + sql
}

// values are what the statements of join want.
func (j *joined) values(into map[string]any) {
	into["joined_ids"], into["joined_targets"] = j.ids, j.targets
}
