package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tidemark/collector/netflow"
)

// readElements reads collector.elements: names of Information Elements by
// enterprise (0 for IANA's) and id. An empty path gives no names of the operator's.
//
//	5951:
//	  128: roundTripTime
func readElements(path string) (netflow.Elements, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, usageError{fmt.Errorf("read collector.elements: %w", err)}
	}
	var e netflow.Elements
	if err := yaml.Unmarshal(text, &e); err != nil {
		return nil, usageError{fmt.Errorf("read collector.elements %s: %w (want enterprise: {id: name}, such as 5951: {128: roundTripTime})", path, err)}
	}
	return e, nil
}

// nameExtensions adds extension_names to the JSON of a flow: a name for each key
// of extensions ("15" or "ENTERPRISE/ID") that has one.
func nameExtensions(raw json.RawMessage, names netflow.Elements) (json.RawMessage, error) {
	var f struct {
		Extensions map[string]json.RawMessage `json:"extensions"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for key := range f.Extensions {
		pen, id, ok := strings.Cut(key, "/")
		if !ok {
			pen, id = "0", key
		}
		p, err1 := strconv.ParseUint(pen, 10, 32)
		i, err2 := strconv.ParseUint(id, 10, 16)
		if err1 != nil || err2 != nil {
			continue
		}
		if name := names.Name(uint32(p), uint16(i)); name != "" {
			found[key] = name
		}
	}
	named, err := json.Marshal(found) // sorts the keys
	if err != nil {
		return nil, err
	}
	line := strings.TrimSuffix(strings.TrimSpace(string(raw)), "}")
	return json.RawMessage(line + `,"extension_names":` + string(named) + "}"), nil
}
