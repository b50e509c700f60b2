package inventory

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// columnNames are the names that columns have elsewhere: in the CSV export of
// NetAlertX (and Pi.Alert, its ancestor), and in what people write.
var columnNames = map[string]string{
	"devmac": "mac", "dev_mac": "mac", "macaddress": "mac", "macs": "mac",
	"devname": "name", "dev_name": "name", "hostname": "name", "label": "name",
	"devlastip": "address", "dev_lastip": "address", "ip": "address", "addresses": "address", "ipaddress": "address",
	"devowner": "owner", "dev_owner": "owner",
	"devtype": "kind", "dev_devicetype": "kind", "type": "kind",
	"devlocation": "zone", "dev_location": "zone", "location": "zone",
	"devcomments": "note", "dev_comments": "note", "comment": "note", "comments": "note",
}

// readCSV reads a table with a header. Columns that it does not know are passed
// over, so that exports of other programs, and our own listing, can be read.
func readCSV(text []byte, l *List) error {
	in := csv.NewReader(bytes.NewReader(text))
	in.FieldsPerRecord = -1
	in.LazyQuotes = true
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	fields := make([]string, len(header))
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		if known, ok := columnNames[name]; ok {
			name = known
		}
		if slices.Contains(Fields(), name) && !slices.Contains(fields[:i], name) {
			fields[i] = name
		}
	}
	if !slices.Contains(fields, "mac") && !slices.Contains(fields, "address") {
		return fmt.Errorf("line 1: got the columns %q, want a header with at least mac or address; known are %s",
			short(strings.Join(header, ",")), strings.Join(Fields(), ", "))
	}
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			l.fault(syntax.StartLine, "no CSV: %v", syntax.Err)
			continue
		}
		if err != nil {
			return err
		}
		line, _ := in.FieldPos(0)
		if len(record) == 1 && strings.TrimSpace(record[0]) == "" {
			continue
		}
		item := Item{Line: line}
		if err := item.fill(fields, record); err != nil {
			l.fault(line, "%v", err)
			continue
		}
		l.add(item)
	}
}

// absent is what other programs write for nothing.
func absent(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "-", "null", "none", "(unknown)", "(name not found)":
		return true
	}
	return false
}

func (i *Item) fill(fields, record []string) error {
	for k, value := range record {
		if k >= len(fields) || fields[k] == "" || absent(value) {
			continue
		}
		if fields[k] == "mac" && strings.EqualFold(strings.TrimSpace(value), "internet") {
			return errors.New("it is no device: NetAlertX's entry for the internet") // its root of the network map
		}
		if len(value) > 1 && value[0] == '\'' && strings.IndexByte("=+-@", value[1]) >= 0 {
			value = value[1:] // the mark that it is no formula
		}
		if err := i.set(fields[k], value); err != nil {
			return err
		}
	}
	return nil
}

func short(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
