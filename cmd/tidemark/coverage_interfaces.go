package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
)

//go:embed sql/coverage_interfaces.sql
var coverageInterfacesSQL string

// interfaceCoverage counts the packets of TCP in the newest batches that devices
// sent into an interface, and that went out of it to them.
type interfaceCoverage struct {
	Exporter string `json:"exporter"`
	Index    uint32 `json:"index"`
	Name     string `json:"name"` // as the exporter calls it, else the configuration; "" = not known
	Sent     uint64 `json:"sent"`
	Received uint64 `json:"received"`
	Devices  uint64 `json:"devices"`
	Missing  string `json:"missing"` // what is not shown of its devices; "" = nothing
	domain   uint32
}

// coverInterfaces adds the interfaces of exporters, by name.
func (s *store) coverInterfaces(ctx context.Context, v *coverage) error {
	err := s.each(ctx, coverageInterfacesSQL, func(scan func(...any) error) error {
		var i interfaceCoverage
		if err := scan(&i.Exporter, &i.domain, &i.Index, &i.Sent, &i.Received, &i.Devices); err != nil {
			return err
		}
		i.Exporter = plainAddress(i.Exporter)
		v.Interfaces = append(v.Interfaces, i)
		return nil
	})
	if err != nil || len(v.Interfaces) == 0 {
		return err
	}
	told := s.toldInterfaces(ctx)
	says := map[string][2]bool{} // whether an exporter tells at all by which interface packets came, and left
	for _, i := range v.Interfaces {
		says[i.Exporter] = [2]bool{says[i.Exporter][0] || i.Sent > 0, says[i.Exporter][1] || i.Received > 0}
	}
	for n := range v.Interfaces {
		i := &v.Interfaces[n]
		i.Name = s.cfg.Names.interfaceName(i.Exporter, i.domain, i.Index, told)
		switch {
		case i.Sent+i.Received < coverageEnough:
		case i.Received == 0 && says[i.Exporter][1]:
			i.Missing = missingReceived
		case i.Sent == 0 && says[i.Exporter][0]:
			i.Missing = missingSent
		}
	}
	return nil
}

func (v coverage) writeInterfaces(w io.Writer) {
	for _, i := range v.Interfaces {
		if i.Missing == "" {
			continue
		}
		half := "send"
		if i.Missing == missingReceived {
			half = "receive"
		}
		fmt.Fprintf(w, "\n%s at %s: nothing that its devices %s is shown there\n", printable(interfaceText(i.Index, i.Name)), i.Exporter, half)
	}
}
