package eval

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tidemark/cmd/sitesim/internal/trial"
)

// What a site is told of that somebody configured, or that concerns a router, beside the attacks
// of package site.
const (
	listedPeer   = "listed-peer"   // beacons to hosts of the operator's list
	notPermitted = "not-permitted" // lateral movement of devices with MUD files
	newDevice    = "new-device"
	routerGone   = "router-gone"
)

// rename says what the truth is in a site of this kind, by its own names.
func (d *design) rename(truth *trial.Truth) {
	if d.Kind != Told {
		return
	}
	for i := range truth.Attacks {
		switch a := &truth.Attacks[i]; a.Attack {
		case "beacon":
			a.Attack = listedPeer
		case "lateral":
			a.Attack = notPermitted
		}
	}
	for _, x := range truth.Devices {
		if x.Born > 0 {
			at := d.config.Start.Add(x.Born)
			truth.Attacks = append(truth.Attacks, trial.Attack{Strike: trial.Strike{Attack: newDevice, Device: x.Name, At: x.Born}, Start: at, End: at})
		}
	}
	for _, e := range truth.Episodes {
		if e.What == "exporter-gone" {
			truth.Attacks = append(truth.Attacks, trial.Attack{Strike: trial.Strike{Attack: routerGone, Device: e.Devices[0]}, Start: e.Start, End: e.End})
		}
	}
}

// configure is what the operator of a site writes into the configuration: its zone and holidays, and
// a list of bad addresses where there is one.
func (d *design) configure(truth *trial.Truth, dir string) (string, error) {
	calendar, err := clocks(d.config, dir)
	if err != nil || d.Kind != Told {
		return "profile: {" + calendar + "}\n", err
	}
	list := "# hosts that gave orders to others elsewhere\n192.0.2.66\n"
	for _, a := range truth.Attacks {
		if a.Attack == listedPeer {
			list += a.Peer + " # seen last week\n"
		}
	}
	file := filepath.Join(dir, "bad-hosts.txt")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		return "", fmt.Errorf("write list: %w", err)
	}
	return fmt.Sprintf("profile: {%s, lists: [{name: bad-hosts, file: %s}]}\n", calendar, file), nil
}

// attach gives the devices that will do what they are not made for the MUD files of their makers.
func (d *design) attach(ctx context.Context, c *collector, truth *trial.Truth) error {
	if d.Kind != Told {
		return nil
	}
	list, err := c.devices(ctx)
	if err != nil {
		return err
	}
	ids := map[string]string{}
	for id, x := range identify(list, truth.Devices) {
		ids[x.Name] = id
	}
	for _, a := range truth.Attacks {
		i := slices.IndexFunc(truth.Devices, func(x trial.Device) bool { return x.Name == a.Device })
		if a.Attack != notPermitted || i < 0 {
			continue
		}
		file := filepath.Join(c.dir, a.Device+".mud.json")
		text, err := json.Marshal(mudFile(truth.Devices[i]))
		if err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
		if err != nil {
			return fmt.Errorf("write MUD file: %w", err)
		}
		var said string
		if err := c.run(ctx, &said, "devices", "mud", "--reason", "its maker's file", ids[a.Device], file); err != nil {
			return err
		}
	}
	return nil
}

type object map[string]any

// mudFile is what the maker of a device writes of it (RFC 8520): the services it needs, those on the
// Internet by name.
func mudFile(d trial.Device) object {
	needs := append(slices.Clone(d.Needs), trial.Need{UDP: true, Port: 53})
	entries := func(name, uses, serves string) (list []object) { // keys of packets one way
		for i, n := range needs {
			transport, key := "tcp", uses
			if n.UDP {
				transport = "udp"
			}
			if n.Serves {
				key = serves
			}
			matches := object{transport: object{key: object{"operator": "eq", "port": n.Port}}}
			if n.To == "" {
				matches["ietf-mud:mud"] = object{"local-networks": []any{nil}}
			} else {
				matches["ipv4"] = object{name: n.To}
			}
			list = append(list, object{"name": fmt.Sprintf("ace-%d", i), "matches": matches, "actions": object{"forwarding": "accept"}})
		}
		return list
	}
	policy := func(name string) object {
		return object{"access-lists": object{"access-list": []object{{"name": name}}}}
	}
	return object{
		"ietf-mud:mud": object{
			"mud-version": 1, "mud-url": "https://maker.example/" + d.Model + ".json", "last-update": time.Unix(0, 0).UTC().Format(time.RFC3339), "is-supported": true, "systeminfo": d.Model,
			"from-device-policy": policy("from"), "to-device-policy": policy("to"),
		},
		"ietf-access-control-list:acls": object{"acl": []object{
			{"name": "from", "type": "ipv4-acl-type", "aces": object{"ace": entries("ietf-acldns:dst-dnsname", "destination-port", "source-port")}},
			{"name": "to", "type": "ipv4-acl-type", "aces": object{"ace": entries("ietf-acldns:src-dnsname", "source-port", "destination-port")}},
		}},
	}
}
