package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"tidemark/enrich/inventory"
	"tidemark/enrich/watch"
	"tidemark/profile"
)

// sparkDays is how much of its volume a device's sparkline shows.
const sparkDays = 7

// shown is all that is known of one device.
type shown struct {
	Device    deviceView          `json:"device"`
	IDs       []string            `json:"ids"`
	Kind      string              `json:"kind_text"`
	MUD       string              `json:"mud"`    // its own profile, else that of its kind
	MUDOf     string              `json:"mud_of"` // device, kind; "" = it has none
	Unjudged  []string            `json:"mud_not_judged"`
	Addresses []profile.Interval  `json:"address_history"`
	Joined    []aliasView         `json:"identity_changes"`
	Peers     []profile.Peer      `json:"peers"`
	Hours     [7][24]profile.Hour `json:"hours"`
	Zone      string              `json:"time_zone"` // of hours
	Volumes   []profile.Volume    `json:"volumes"`   // hours of the last days
	Alerts    []alertView         `json:"open_alerts"`
	Observers []profile.Observer  `json:"observers"`
	Behind    []attachment        `json:"interfaces"` // by which its traffic comes in
	Attached  []watch.Attached    `json:"attached"`   // by bridge tables of switches
	until     time.Time
}

// aliasView is a changed mind about who is who.
type aliasView struct {
	profile.Alias
	Device string `json:"device"`
	Target string `json:"target"`
}

func showDeviceCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "all that is known of one device", ArgsUsage: "DEVICE",
		Description: `DEVICE is a MAC, an address, an id of 16 hex digits, a label or a host name. Shown are its
identity and what that rests on, its addresses over time, what it serves and uses, its
peers, its volume and hours, and open alerts.

   tidemark devices show 10.20.1.11
   tidemark devices show --output json lobby`,
		Flags: []cli.Flag{
			&cli.UintFlag{Name: "peers", Value: 10, Usage: "list at most `N` peers, 0 = all"},
			outputFlag(pageForms),
		},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 1, 1, "one DEVICE"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.show(c) })
		},
	}
}

func (s *store) show(c *cli.Context) error {
	d, err := s.device(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	v, err := s.gather(c, d)
	if err != nil {
		return err
	}
	return page(c, v, func(w io.Writer) error { return v.write(c, w, d) })
}

func (s *store) gather(c *cli.Context, d profile.Device) (v shown, err error) {
	q, err := s.questions()
	if err != nil {
		return v, err
	}
	v = shown{Device: viewDevice(d), until: d.Last.Truncate(time.Hour).Add(time.Hour), Joined: []aliasView{}, Alerts: []alertView{}}
	for _, id := range slices.Sorted(slices.Values(d.Members)) {
		v.IDs = append(v.IDs, fmt.Sprintf("%016x", id))
	}
	kinds, err := s.kinds()
	if err != nil {
		return v, err
	}
	known, err := kinds.Kinds(c.Context, []uint64{d.ID})
	if err != nil {
		return v, err
	}
	v.Kind = known[d.ID].Word()
	if v.MUD = d.Facts[profile.FactMUD]; v.MUD != "" {
		v.MUDOf = "device"
	} else if v.MUD = s.cfg.mudOf(known[d.ID].Kind); v.MUD != "" {
		v.MUDOf = "kind"
	}
	if v.Unjudged, err = unjudged(c.Context, q, d, v); err != nil {
		return v, err
	}
	if v.Addresses, err = q.Intervals(c.Context, d); err != nil {
		return v, err
	}
	aliases, err := q.Aliases(c.Context, d)
	if err != nil {
		return v, err
	}
	for _, a := range aliases {
		v.Joined = append(v.Joined, aliasView{a, fmt.Sprintf("%016x", a.Device), fmt.Sprintf("%016x", a.Target)})
	}
	if v.Observers, err = q.Observers(c.Context, d); err != nil {
		return v, err
	}
	if v.Behind, err = s.attachments(c.Context, d); err != nil {
		return v, err
	}
	v.Attached = s.switchPorts(c.Context, d)
	b, err := q.Baseline(c.Context, d)
	if err != nil {
		return v, err
	}
	v.Peers, v.Hours, v.Zone = b.Peers, b.Hours, b.Zone
	if v.Volumes, err = q.Hourly(c.Context, d, v.until.AddDate(0, 0, -sparkDays), v.until); err != nil {
		return v, err
	}
	for _, id := range d.Members {
		found, err := q.Alerts(c.Context, profile.AlertFilter{Device: id, OpenOnly: true})
		if err != nil {
			return v, err
		}
		views, err := s.viewAlerts(c, q, found)
		if err != nil {
			return v, err
		}
		v.Alerts = append(v.Alerts, views...)
	}
	return v, nil
}

// unjudged says what the device is not judged by, of the MUD profile it has.
func unjudged(ctx context.Context, q *profile.Scorer, d profile.Device, v shown) ([]string, error) {
	if v.MUD == "" {
		return []string{}, nil
	}
	if strings.HasPrefix(v.MUD, "https://") {
		return []string{"anything: a URL is noted and not fetched; attach the file"}, nil
	}
	list, err := q.Descriptions(ctx)
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		if x.File == v.MUD && (v.MUDOf == "kind" && x.Device == 0 || slices.Contains(d.Members, x.Device)) {
			return x.Notes, nil
		}
	}
	return []string{"anything yet: the file is read with the next flows"}, nil
}

func (v shown) write(c *cli.Context, w io.Writer, d profile.Device) error {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("device", "%s", d.Title())
	line("kind", "%s (tidemark devices why %s)", cmp.Or(v.Kind, "not known"), d.Name())
	line("state", "%s", lifecycleText(v.Device))
	for _, fact := range profile.LabelFacts() {
		if value := d.Facts[fact]; value != "" {
			line(fact, "%s", value)
		}
	}
	if v.MUD != "" {
		line("mud", "%s%s", v.MUD, map[bool]string{true: " (of its kind)"}[v.MUDOf == "kind"])
	}
	if n := len(v.Unjudged); n > 0 {
		more := ""
		if n > 1 {
			more = fmt.Sprintf(" (and %d more: --output json)", n-1)
		}
		line("", "not judged: %s%s", v.Unjudged[0], more)
	}
	line("seen", "%s to %s UTC, %s, %s out, %s in", stamp(d.First), stamp(d.Last), plural(d.Flows, "flow"), octets(d.BytesOut), octets(d.BytesIn))
	line("identity", "%s", identityReason(d))
	v.writeIdentity(w, d)
	line("observed", "%s", orDash(observersText(v.Observers)))
	if len(v.Attached) > 0 {
		line("attached", "%s %s (bridge table; %s reached by that port)", v.Attached[0].Switch, v.Attached[0].Port, plural(v.Attached[0].Stations, "station"))
	}
	if len(v.Behind) > 0 {
		line("behind", "%s", attachmentsText(v.Behind))
	}
	line("serves", "%s", orDash(servicePeers(d.Serves)))
	line("uses", "%s", orDash(servicePeers(d.Uses)))
	v.writeSpark(w)
	writeHeat(w, v.Hours, v.Zone)
	if len(v.Alerts) > 0 {
		fmt.Fprintf(w, "\n%s:\n", plural(len(v.Alerts), "open alert"))
		for _, a := range v.Alerts {
			fmt.Fprintf(w, "  %s  %d %s  %s: %s\n", a.ID, a.Risk, a.Level, a.Family, printable(a.Observed))
		}
	}
	fmt.Fprintln(w)
	most := len(v.Peers)
	if n := c.Uint("peers"); n > 0 {
		most = min(most, int(min(n, 1<<20)))
	}
	if err := list(c, "peers", v.Peers[:most], peerColumns()); err != nil {
		return err
	}
	if more := len(v.Peers) - most; more > 0 {
		fmt.Fprintf(w, "and %s more; --peers 0 lists all\n", count(more))
	}
	return nil
}

func lifecycleText(d deviceView) string {
	text := stateText(d)
	switch d.State {
	case profile.DeviceNew, profile.DeviceLearning:
		text += fmt.Sprintf(" until %s UTC: its deviations do not alert yet", stamp(d.Learned))
	case profile.DeviceSilent:
		text += fmt.Sprintf(": nothing for %d days or more", int(profile.SilentAfter.Hours())/24)
	}
	return text
}

// identityReason says what the identity of a device rests on.
func identityReason(d profile.Device) string {
	switch d.Identity {
	case "mac":
		return "MAC " + d.MACString() + ", seen in flows"
	case "assigned":
		return "MAC " + d.MACString() + ", told by a lease or the like; no exporter shows it"
	case "gateway":
		return "its address, behind a gateway: another device that gets it cannot be told apart"
	}
	return "its address only: another device that gets it cannot be told apart"
}

// writeIdentity lists addresses over time, and what was concluded or decided.
func (v shown) writeIdentity(w io.Writer, d profile.Device) {
	for _, i := range v.Addresses {
		if i.Addr.IsUnspecified() {
			continue
		}
		from, to := "ever", "now"
		if !i.From.IsZero() {
			from = stamp(i.From)[:16]
		}
		if !i.To.IsZero() {
			to = stamp(i.To)[:16]
		}
		text := fmt.Sprintf("%-16s %16s to %-16s %s, %d %%", i.Addr, from, to, i.Source, i.Confidence)
		if i.MAC != d.MAC {
			text += ", as " + inventory.MAC(i.MAC)
		}
		if i.Name != "" {
			text += ", " + i.Name
		}
		fmt.Fprintf(w, "%10s %s\n", "", printable(text))
	}
	if len(v.IDs) > 1 {
		fmt.Fprintf(w, "%-10s %s: its own and %s\n", "ids", d.Name(), strings.Join(slices.DeleteFunc(slices.Clone(v.IDs), func(id string) bool { return id == d.Name() }), ", "))
	}
	for _, a := range v.Joined {
		what := "was joined with " + a.Target
		if a.Device == a.Target {
			what = "was split off"
		}
		fmt.Fprintf(w, "%10s %s\n", "", printable(fmt.Sprintf("%s UTC: %s %s by %s (%s): %s", stamp(a.Changed)[:16], a.Device, what, a.Actor, a.Source, a.Reason)))
	}
}

// observersText names who sees the device; what is counted is what the first
// sees.
func observersText(list []profile.Observer) string {
	var out []string
	for i, o := range list {
		text := o.Exporter.String()
		if i == 0 {
			text += " (home)"
		} else if home := list[0].Packets; home > 0 {
			text += fmt.Sprintf(" (%d %% of that)", 100*o.Packets/home)
		}
		out = append(out, text)
	}
	return "by " + strings.Join(out, ", ")
}

// servicePeers names services with the number of peers.
func servicePeers(list []profile.Service) string {
	var out []string
	for _, s := range list {
		text := s.Name
		if s.Peers > 1 {
			text += fmt.Sprintf(" (%s)", plural(s.Peers, "peer"))
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

var sparks = []rune("▁▂▃▄▅▆▇█")

// writeSpark draws the bytes of the last days, a character for two hours.
func (v shown) writeSpark(w io.Writer) {
	const step = 2 * time.Hour
	begin := v.until.AddDate(0, 0, -sparkDays)
	bins := make([]uint64, sparkDays*24/2)
	var most uint64
	for _, h := range v.Volumes {
		if i := int(h.Time.Sub(begin) / step); i >= 0 && i < len(bins) {
			bins[i] += h.BytesOut + h.BytesIn
			most = max(most, bins[i])
		}
	}
	var line strings.Builder
	for _, b := range bins {
		if b == 0 {
			line.WriteRune(' ')
			continue
		}
		line.WriteRune(sparks[min(uint64(len(sparks)-1), b*uint64(len(sparks))/max(most, 1))])
	}
	fmt.Fprintf(w, "%-10s %s\n%10s %d days to %s UTC, at most %s in two hours\n", "volume", line.String(), "", sparkDays, stamp(v.until)[:16], octets(most))
}

// heat are the colours of a terminal with 256 of them, from little to much.
var heat = []int{236, 22, 28, 34, 40, 46}

// writeHeat draws the week: in colour where the terminal has it, else shaded.
func writeHeat(w io.Writer, hours [7][24]profile.Hour, zone string) {
	if !colours(w) {
		writeHours(w, hours, zone)
		return
	}
	var most uint64
	for _, day := range hours {
		for _, h := range day {
			most = max(most, perWeek(h))
		}
	}
	fmt.Fprintf(w, "\n%-10s %s   %s, bytes an hour\n", "hours", "0           6           12          18          ", zone)
	for i, name := range []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"} {
		var row strings.Builder
		for _, h := range hours[i] {
			fmt.Fprintf(&row, "\x1b[48;5;%dm  ", heat[warmth(perWeek(h), most)])
		}
		fmt.Fprintf(w, "%-10s %s\x1b[0m\n", name, row.String())
	}
	fmt.Fprintf(w, "%10s the busiest hour carries %s\n", "", octets(most))
}

// warmth is the colour of v: none, up to 1 %, 10 %, 25 %, 50 % or more of most.
func warmth(v, most uint64) int {
	switch {
	case v == 0:
		return 0
	case v*100 <= most:
		return 1
	case v*10 <= most:
		return 2
	case v*4 <= most:
		return 3
	case v*2 <= most:
		return 4
	}
	return 5
}
