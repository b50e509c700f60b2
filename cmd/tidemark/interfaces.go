package main

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/enrich/watch"
	"tidemark/profile"
)

//go:embed sql/device_interfaces.sql
var deviceInterfacesSQL string

// attachment is an interface of an exporter by which a device's traffic comes in.
type attachment struct {
	Exporter string `json:"exporter"`
	Index    uint32 `json:"index"`
	Name     string `json:"name"` // as the exporter calls it, else the configuration; "" = not known
	Packets  uint64 `json:"packets"`
	domain   uint32
}

// exporterInterfaces are the names that an exporter gives to its interfaces.
type exporterInterfaces struct {
	Address    string `json:"address"`
	Interfaces []struct {
		Domain      uint32 `json:"domain"`
		Index       uint32 `json:"index"`
		Name        string `json:"name"`
		Description string `json:"description"`
	} `json:"interfaces"`
}

// attachments are the interfaces a device is behind, the one of most packets first.
// The daemon knows what exporters call them; without one, or of exporters that tell
// no names, those of the configuration are taken.
func (s *store) attachments(ctx context.Context, d profile.Device) ([]attachment, error) {
	rows, err := s.db.Conn().Query(clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"devices": idList(d.Members)})), deviceInterfacesSQL)
	if err != nil {
		return nil, fmt.Errorf("read interfaces of device %s: %w", d.Name(), err)
	}
	defer rows.Close()
	out := []attachment{}
	for rows.Next() {
		var a attachment
		if err := rows.Scan(&a.Exporter, &a.domain, &a.Index, &a.Packets); err != nil {
			return nil, fmt.Errorf("read interfaces of device %s: %w", d.Name(), err)
		}
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read interfaces of device %s: %w", d.Name(), err)
	}
	told := s.toldInterfaces(ctx)
	for i, a := range out {
		out[i].Name = s.cfg.Names.interfaceName(a.Exporter, a.domain, a.Index, told)
	}
	return out, nil
}

// toldInterfaces is what exporters call their interfaces: nothing without a daemon.
func (s *store) toldInterfaces(ctx context.Context) []exporterInterfaces {
	var status struct {
		Exporters []exporterInterfaces `json:"exporters"`
	}
	if newDaemonClient(s.dir).get(ctx, "/v1/exporters", &status) != nil {
		return nil
	}
	return status.Exporters
}

// interfaceName is what the exporter calls an interface, else the configuration.
// Two names are none: several agents behind one address number theirs alike.
func (c NamesConfig) interfaceName(exporter string, domain, index uint32, told []exporterInterfaces) string {
	var name string
	for _, e := range told {
		if e.Address != exporter {
			continue
		}
		for _, i := range e.Interfaces {
			if i.Domain != domain || i.Index != index || i.Name == "" || i.Name == name {
				continue
			}
			if name != "" {
				return c.configuredInterface(exporter, index)
			}
			name = i.Name
		}
	}
	return cmp.Or(name, c.configuredInterface(exporter, index))
}

func (c NamesConfig) configuredInterface(exporter string, index uint32) string {
	for _, i := range c.Interfaces {
		if i.Exporter.String() == exporter && i.Index == index {
			return i.Name
		}
	}
	return ""
}

// interfaceText names an interface: "eth2 (interface 3)".
func interfaceText(index uint32, name string) string {
	text := fmt.Sprintf("interface %d", index)
	if name != "" {
		text = fmt.Sprintf("%s (%s)", name, text)
	}
	return text
}

// switchPorts is where switches say that a device is attached: nothing without a daemon.
func (s *store) switchPorts(ctx context.Context, d profile.Device) []watch.Attached {
	out := []watch.Attached{}
	if d.MAC == 0 || newDaemonClient(s.dir).get(ctx, fmt.Sprintf("/v1/ports/%012x", d.MAC), &out) != nil {
		return []watch.Attached{}
	}
	return out
}

// attachmentsText lists interfaces: "10.0.0.1 eth2 (interface 3)".
func attachmentsText(list []attachment) string {
	var out []string
	for _, a := range list {
		out = append(out, a.Exporter+" "+interfaceText(a.Index, a.Name))
	}
	return strings.Join(out, ", ")
}
