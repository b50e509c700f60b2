package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"tidemark/profile"
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
		Description: `A device is known by its MAC where an exporter shows it, else by its address.

   tidemark devices
   tidemark devices --sort risk
   tidemark devices --output csv > inventory.csv`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "sort", Value: "address", Usage: "`ORDER` is address, first (seen), last (seen), flows or risk"},
			outputFlag(listForms),
		},
		Subcommands: []*cli.Command{whyCommand(), kindCommand()},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument (`tidemark baseline DEVICE` shows one device)"); err != nil {
				return err
			}
			less, err := deviceOrder(c.String("sort"))
			if err != nil {
				return err
			}
			return withStore(c, func(s *store) error {
				q, err := s.questions()
				if err != nil {
					return err
				}
				found, err := q.Devices(c.Context, profile.DeviceFilter{})
				if err != nil {
					return err
				}
				slices.SortStableFunc(found, less)
				views := make([]deviceView, len(found))
				for i, d := range found {
					views[i] = viewDevice(d)
				}
				if len(views) == 0 {
					fmt.Fprintln(c.App.ErrWriter, "nothing inside the site's networks (networks in the configuration) has been seen in a flow yet")
				}
				return list(c, views, deviceColumns())
			})
		},
	}
}

func deviceOrder(name string) (func(a, b profile.Device) int, error) {
	switch name {
	case "address":
		return func(a, b profile.Device) int {
			if len(a.Addresses) == 0 || len(b.Addresses) == 0 {
				return len(b.Addresses) - len(a.Addresses)
			}
			return a.Addresses[0].Compare(b.Addresses[0])
		}, nil
	case "first":
		return func(a, b profile.Device) int { return a.First.Compare(b.First) }, nil
	case "last":
		return func(a, b profile.Device) int { return b.Last.Compare(a.Last) }, nil
	case "flows":
		return func(a, b profile.Device) int { return cmp.Compare(b.Flows, a.Flows) }, nil
	case "risk":
		return func(a, b profile.Device) int { return cmp.Compare(b.Risk, a.Risk) }, nil
	}
	return nil, usageError{fmt.Errorf("--sort: got %q, want address, first, last, flows or risk", name)}
}

func deviceColumns() []column[deviceView] {
	return []column[deviceView]{
		{"address", left, func(d deviceView) string { return addresses(d.Device, 2) }, func(d deviceView) string { return addresses(d.Device, len(d.Addresses)) }},
		{"label", left, func(d deviceView) string { return d.Label }, nil},
		{"mac", left, func(d deviceView) string { return d.MAC }, nil},
		{"vendor", flex, func(d deviceView) string { return d.Vendor }, nil},
		{"serves", flex, func(d deviceView) string { return services(d.Serves) }, nil},
		{"uses", flex, func(d deviceView) string { return services(d.Uses) }, nil},
		{"flows", right, func(d deviceView) string { return count(d.Flows) }, func(d deviceView) string { return fmt.Sprint(d.Flows) }},
		{"last seen (UTC)", left, func(d deviceView) string { return stamp(d.Last)[:16] }, func(d deviceView) string { return instant(d.Last) }},
		{"state", left, func(d deviceView) string { return string(d.Learning) }, nil},
		{"risk", left, func(d deviceView) string {
			if d.Alerts == 0 {
				return "-"
			}
			return fmt.Sprintf("%d %s", d.Risk, profile.Level(d.Risk))
		}, func(d deviceView) string { return fmt.Sprint(d.Risk) }},
	}
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
