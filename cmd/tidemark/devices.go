package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tidemark/profile"
	"tidemark/profile/strict"
)

// deviceView is a device as people and scripts read it: ids in hex.
type deviceView struct {
	profile.Device
	ID  string `json:"id"`
	MAC string `json:"mac"`
}

func viewDevice(d profile.Device) deviceView { return deviceView{d, d.Name(), d.MACString()} }

// isNameFault says that the caller named a device or alert that is not there.
func isNameFault(err error) bool {
	return errors.Is(err, profile.ErrNotFound) || errors.Is(err, profile.ErrAmbiguous)
}

func devicesCommand() *cli.Command {
	return &cli.Command{
		Name:  "devices",
		Usage: "the devices found behind the exporters",
		Description: `A device is known by its MAC where an exporter, a lease or a neighbour table shows it,
else by its address. Without --rows the first 100 are listed.

   tidemark devices
   tidemark devices --sort risk --alerting
   tidemark devices --state new --unapproved
   tidemark devices --network 10.20.0.0/16 --match camera --columns address,label,kind
   tidemark devices show 10.20.1.11                     all that is known of one
   tidemark devices approve --reason "ordered by IT" 10.20.1.11
   tidemark devices export > inventory.csv`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "sort", Value: "address", Usage: "`ORDER` is address, name, kind, first (seen), last (seen), flows or risk"},
			&cli.StringFlag{Name: "state", Usage: "in this `STATE`: new, learning, active, silent or retired"},
			&cli.StringFlag{Name: "kind", Usage: "of this `KIND`"},
			&cli.StringFlag{Name: "known-by", Usage: "`WHAT`: mac, assigned (a MAC told by a lease or the like), address or gateway"},
			&cli.StringFlag{Name: "network", Usage: "with an address in this `PREFIX`"},
			&cli.StringFlag{Name: "match", Usage: "with this `TEXT` in label, host name, kind, MAC, address or what is said of it"},
			&cli.BoolFlag{Name: "unapproved", Usage: "neither approved nor retired"},
			&cli.BoolFlag{Name: "alerting", Usage: "with open alerts"},
			&cli.StringFlag{Name: "columns", Usage: "only these, by `NAMES` with commas: " + strings.Join(columnTitles(deviceColumns()), ", ")},
			&cli.Uint64Flag{Name: "rows", Value: 100, Usage: "at most `N`, 0 = all"},
			outputFlag(listForms),
		},
		Subcommands: append([]*cli.Command{showDeviceCommand(), whyCommand(), cloudCommand(), kindCommand(), sourcesCommand(), importDevicesCommand(), exportDevicesCommand()}, changeDeviceCommands()...),
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument (`tidemark devices show DEVICE` shows one)"); err != nil {
				return err
			}
			filter, err := deviceFilter(c)
			if err != nil {
				return err
			}
			columns, err := chosenColumns(c.String("columns"), deviceColumns())
			if err != nil {
				return err
			}
			return withStore(c, func(s *store) error { return s.devices(c, filter, columns) })
		},
	}
}

func (s *store) devices(c *cli.Context, filter profile.DeviceFilter, columns []column[deviceView]) error {
	q, err := s.questions()
	if err != nil {
		return err
	}
	rows := c.Uint64("rows")
	if c.String("sort") != "flows" { // they are counted for the devices listed only
		filter.Limit = rows
	}
	found, total, err := q.DevicesOf(c.Context, filter)
	if err != nil {
		return err
	}
	if c.String("sort") == "flows" {
		slices.SortStableFunc(found, func(a, b profile.Device) int { return cmp.Compare(b.Flows, a.Flows) })
		if rows > 0 {
			found = found[:min(uint64(len(found)), rows)]
		}
	}
	views := make([]deviceView, len(found))
	for i, d := range found {
		views[i] = viewDevice(d)
	}
	if total == 0 {
		all := filter
		all.Limit, all.Sort = 0, ""
		if reflect.DeepEqual(all, profile.DeviceFilter{}) {
			fmt.Fprintln(c.App.ErrWriter, "nothing inside the site's networks (networks in the configuration) has been seen in a flow yet")
		}
	}
	if err := list(c, "devices", views, columns); err != nil {
		return err
	}
	if more := total - uint64(len(found)); more > 0 {
		fmt.Fprintf(c.App.ErrWriter, "and %s more; --rows 0 lists all\n", count(more))
	}
	return nil
}

// deviceFilter reads the flags that select devices.
func deviceFilter(c *cli.Context) (profile.DeviceFilter, error) {
	f := profile.DeviceFilter{
		State: profile.Lifecycle(c.String("state")), Kind: c.String("kind"), KnownBy: c.String("known-by"), Match: c.String("match"),
		Unapproved: c.Bool("unapproved"), Alerting: c.Bool("alerting"), Sort: c.String("sort"),
	}
	oneOf := func(flag, got string, known ...string) error {
		if got == "" || slices.Contains(known, got) {
			return nil
		}
		return usageError{fmt.Errorf("--%s: got %q%s", flag, got, strict.DidYouMean(got, known))}
	}
	err := errors.Join(
		oneOf("sort", f.Sort, "address", "name", "kind", "first", "last", "flows", "risk"),
		oneOf("state", string(f.State), "new", "learning", "active", "silent", "retired"),
		oneOf("known-by", f.KnownBy, "mac", "assigned", "address", "gateway"),
	)
	if n := c.String("network"); n != "" {
		p, parse := netip.ParsePrefix(n)
		if parse != nil {
			err = errors.Join(err, usageError{fmt.Errorf("--network: got %q, want a prefix such as 10.20.0.0/16", n)})
		}
		f.Network = p
	}
	return f, err
}

func columnTitles[T any](columns []column[T]) (out []string) {
	for _, col := range columns {
		name, _, _ := strings.Cut(col.title, " (")
		out = append(out, name)
	}
	return out
}

// chosenColumns are the columns named, in the order named; all if none is.
func chosenColumns[T any](names string, all []column[T]) ([]column[T], error) {
	if names == "" {
		return all, nil
	}
	titles := columnTitles(all)
	var out []column[T]
	for name := range strings.SplitSeq(names, ",") {
		i := slices.Index(titles, strings.TrimSpace(name))
		if i < 0 {
			return nil, usageError{fmt.Errorf("--columns: no column %q%s", name, strict.DidYouMean(name, titles))}
		}
		out = append(out, all[i])
	}
	return out, nil
}

func deviceColumns() []column[deviceView] {
	return []column[deviceView]{
		{"address", left, func(d deviceView) string { return addresses(d.Device, 2) }, func(d deviceView) string { return addresses(d.Device, len(d.Addresses)) }},
		{"name", flex, func(d deviceView) string { return cmp.Or(d.Label, d.Host) }, nil},
		{"mac", left, func(d deviceView) string { return d.MAC }, nil},
		{"vendor", flex, func(d deviceView) string { return d.Vendor }, nil},
		{"kind", left, func(d deviceView) string { return d.Kind }, nil},
		{"serves", flex, func(d deviceView) string { return services(d.Serves) }, nil},
		{"uses", flex, func(d deviceView) string { return services(d.Uses) }, nil},
		{"flows", right, func(d deviceView) string { return count(d.Flows) }, func(d deviceView) string { return fmt.Sprint(d.Flows) }},
		{"last seen (UTC)", left, func(d deviceView) string { return stamp(d.Last)[:16] }, func(d deviceView) string { return instant(d.Last) }},
		{"state", left, stateText, nil},
		{"risk", left, func(d deviceView) string {
			if d.Alerts == 0 {
				return "-"
			}
			return fmt.Sprintf("%d %s", d.Risk, profile.Level(d.Risk))
		}, func(d deviceView) string { return fmt.Sprint(d.Risk) }},
	}
}

// stateText is the state, with what operators have said of it.
func stateText(d deviceView) string {
	if d.Facts[profile.FactApproved] != "" {
		return string(d.State) + ", approved"
	}
	return string(d.State)
}

func addresses(d profile.Device, most int) string {
	var out []string
	for _, a := range d.Addresses[:min(len(d.Addresses), most)] {
		out = append(out, a.String())
	}
	if more := len(d.Addresses) - most; more > 0 {
		out = append(out, fmt.Sprintf("+%d", more))
	}
	return orDash(strings.Join(out, " "))
}

// services names them, those that nearly every device has last: they tell least.
func services(list []profile.Service) string {
	var telling, common []string
	for _, s := range list {
		switch s.Name {
		case "bootps", "domain", "ntp":
			common = append(common, s.Name)
		default:
			telling = append(telling, s.Name)
		}
	}
	return strings.Join(append(telling, common...), " ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// shorten cuts s to n characters, the last of which then says so.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
