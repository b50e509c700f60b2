package inventory

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// nmapHost is <host> of nmap's XML output (-oX).
type nmapHost struct {
	Status struct {
		State string `xml:"state,attr"`
	} `xml:"status"`
	Addresses []struct {
		Addr string `xml:"addr,attr"`
		Type string `xml:"addrtype,attr"`
	} `xml:"address"`
	Names []struct {
		Name string `xml:"name,attr"`
	} `xml:"hostnames>hostname"`
}

// readNmap reads the hosts that were up. A scan that was cut short gives the
// hosts before the cut.
func readNmap(text []byte, l *List) error {
	in := xml.NewDecoder(bytes.NewReader(text))
	begun := false
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			if !begun {
				return errors.New("want the XML of nmap (-oX): no <nmaprun> in it")
			}
			return nil
		}
		line, _ := in.InputPos()
		if err != nil {
			if !begun {
				return fmt.Errorf("line %d: no XML: %w", line, err)
			}
			l.fault(line, "the file ends or breaks here: %v", err)
			return nil
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		begun = begun || start.Name.Local == "nmaprun"
		if !begun || start.Name.Local != "host" {
			continue
		}
		var h nmapHost
		if err := in.DecodeElement(&h, &start); err != nil {
			l.fault(line, "the file ends or breaks in this host: %v", err)
			return nil
		}
		l.addNmap(h, line)
	}
}

func (l *List) addNmap(h nmapHost, line int) {
	if h.Status.State != "" && h.Status.State != "up" {
		return
	}
	item := Item{Line: line}
	for _, a := range h.Addresses {
		field := "address"
		if a.Type == "mac" {
			field = "mac"
		}
		if err := item.set(field, a.Addr); err != nil {
			l.fault(line, "%v", err)
			return
		}
	}
	if len(h.Names) > 0 {
		if err := item.set("name", h.Names[0].Name); err != nil {
			l.fault(line, "%v", err)
			return
		}
	}
	l.add(item)
}
