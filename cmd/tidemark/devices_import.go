package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"tidemark/enrich"
	"tidemark/enrich/inventory"
	"tidemark/profile"
)

// importItem is a device of an inventory on its way to whoever holds the ledger.
type importItem struct {
	MACs      []uint64          `json:"macs"`
	Addresses []netip.Addr      `json:"addresses"`
	Name      string            `json:"name"`
	Facts     map[string]string `json:"facts"`
}

func importDevicesCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "take names and what else is said of devices from an inventory", ArgsUsage: "FILE",
		Description: `FILE is YAML, JSON, CSV with a header, the CSV export of NetAlertX, or the XML of nmap
(-oX); - reads standard input. Devices are found by MAC, else by address. Those not seen
yet are named when they appear. A list that shall also tell which address is whose is named
in the configuration, under identity.inventories.

   tidemark devices import --reason "audit of May" inventory.csv
   tidemark devices import --approve --reason "known" netalertx.csv
   nmap -sn -oX - 10.20.1.0/24 | tidemark devices import --reason "scan" -`,
		Flags: changeFlags(&cli.BoolFlag{Name: "approve", Usage: "approve every device of it"}),
		Action: func(c *cli.Context) error {
			if err := errors.Join(wantArgs(c, 1, 1, "one FILE"), wantFlag(c, "reason")); err != nil {
				return err
			}
			return importDevices(c)
		},
	}
}

func importDevices(c *cli.Context) error {
	path := c.Args().First()
	in := io.Reader(os.Stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxChange))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	found, err := inventory.Read(text)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", path, err)}
	}
	for _, f := range found.Faults {
		fmt.Fprintf(c.App.ErrWriter, "%s: %s\n", path, printable(f.String()))
	}
	if more := found.Bad - len(found.Faults); more > 0 {
		fmt.Fprintf(c.App.ErrWriter, "%s: and %s more lines like these\n", path, count(uint64(more)))
	}
	sum := sha256.Sum256(text)
	req := deviceChange{
		Action: "import", Actor: actor(c.String("as")), Reason: c.String("reason"),
		From: fmt.Sprintf("%s, sha256 %s", path, hex.EncodeToString(sum[:])),
	}
	for _, i := range found.Items {
		if i.Gateway {
			continue
		}
		item := importItem{MACs: i.MACs, Addresses: i.Addresses, Name: i.Name, Facts: map[string]string{
			"criticality": i.Criticality, "zone": i.Zone, "owner": i.Owner, "note": i.Note, profile.FactMUD: i.MUD,
		}}
		if c.Bool("approve") {
			item.Facts[profile.FactApproved] = "yes"
		}
		req.Items = append(req.Items, item)
	}
	done, err := askToChange(c, req)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.ErrWriter, "%s read, %s changed, %s that could not be used; it is part of the record\n",
		plural(uint64(len(found.Items)), "device"), count(uint64(done.Changed)), plural(uint64(found.Bad), "line"))
	return nil
}

// importItems gives devices what an inventory says of them.
func (n *node) importItems(ctx context.Context, req deviceChange, by profile.By) (int, error) {
	known := map[uint64]profile.Device{}
	byAddress := map[netip.Addr]profile.Device{}
	all, err := n.scorer.Devices(ctx, profile.DeviceFilter{})
	if err != nil {
		return 0, err
	}
	for _, d := range all {
		for _, id := range append([]uint64{d.ID}, d.Members...) {
			known[id] = d
		}
		for _, a := range d.Addresses {
			byAddress[a] = d
		}
	}
	changed := 0
	for _, item := range req.Items {
		d, ok := profile.Device{}, false
		for _, mac := range item.MACs {
			if d, ok = known[enrich.DeviceByMAC(n.cfg.Site, mac)]; ok {
				break
			}
		}
		switch {
		case ok:
		case len(item.MACs) > 0: // not seen yet
			d = profile.Device{ID: enrich.DeviceByMAC(n.cfg.Site, item.MACs[0]), MAC: item.MACs[0]}
		default:
			for _, a := range item.Addresses {
				if d, ok = byAddress[a]; ok {
					break
				}
			}
			if !ok {
				continue // nobody knows yet who will have this address
			}
		}
		did, err := n.scorer.Import(ctx, d, item.Name, item.Facts, req.From, by)
		if err != nil {
			return changed, err
		}
		if did {
			changed++
		}
	}
	return changed, nil
}

func exportDevicesCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "the inventory, in a form that import and other programs read",
		Description: `   tidemark devices export > inventory.csv
   tidemark devices export --output json > inventory.json`,
		Flags: []cli.Flag{outputFlag([]string{"csv", "json", "ndjson"})},
		Action: func(c *cli.Context) error {
			if err := wantArgs(c, 0, 0, "no argument"); err != nil {
				return err
			}
			return withStore(c, func(s *store) error {
				q, err := s.questions()
				if err != nil {
					return err
				}
				found, err := q.Devices(c.Context, profile.DeviceFilter{Sort: "address"})
				if err != nil {
					return err
				}
				items := []exported{}
				for _, d := range found {
					items = append(items, exportDevice(d))
				}
				return list(c, "devices", items, exportColumns())
			})
		},
	}
}

// exported is a device of an exported inventory: the fields that import reads,
// then what is only told.
type exported struct {
	Name        string   `json:"name"`
	MAC         string   `json:"mac"`
	Addresses   []string `json:"address"`
	Kind        string   `json:"kind"`
	Criticality string   `json:"criticality"`
	Zone        string   `json:"zone"`
	Owner       string   `json:"owner"`
	Note        string   `json:"note"`
	MUD         string   `json:"mud"`
	ID          string   `json:"id"`
	Vendor      string   `json:"vendor"`
	First       string   `json:"first"`
	Last        string   `json:"last"`
	State       string   `json:"state"`
	Approved    string   `json:"approved"`
}

func exportDevice(d profile.Device) exported {
	e := exported{
		Name: cmp.Or(d.Label, d.Host), MAC: d.MACString(), Kind: d.Kind, Criticality: d.Facts["criticality"], Zone: d.Facts["zone"],
		Owner: d.Facts["owner"], Note: d.Facts["note"], MUD: d.Facts[profile.FactMUD], Approved: d.Facts[profile.FactApproved],
		ID: d.Name(), Vendor: d.Vendor, First: instant(d.First), Last: instant(d.Last), State: string(d.State), Addresses: []string{},
	}
	for _, a := range d.Addresses {
		e.Addresses = append(e.Addresses, a.String())
	}
	return e
}

func exportColumns() []column[exported] {
	return []column[exported]{
		{"name", left, func(e exported) string { return e.Name }, nil},
		{"mac", left, func(e exported) string { return e.MAC }, nil},
		{"address", left, func(e exported) string { return strings.Join(e.Addresses, " ") }, nil},
		{"kind", left, func(e exported) string { return e.Kind }, nil},
		{"criticality", left, func(e exported) string { return e.Criticality }, nil},
		{"zone", left, func(e exported) string { return e.Zone }, nil},
		{"owner", left, func(e exported) string { return e.Owner }, nil},
		{"note", left, func(e exported) string { return e.Note }, nil},
		{"mud", left, func(e exported) string { return e.MUD }, nil},
		{"id", left, func(e exported) string { return e.ID }, nil},
		{"vendor", left, func(e exported) string { return e.Vendor }, nil},
		{"first", left, func(e exported) string { return e.First }, nil},
		{"last", left, func(e exported) string { return e.Last }, nil},
		{"state", left, func(e exported) string { return e.State }, nil},
		{"approved", left, func(e exported) string { return e.Approved }, nil},
	}
}
