package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tidemark/collector/netflow"
	files "tidemark/profile/stamp"
)

// maxOperatorFile bounds a table of names or rules, in octets: IEEE's of all vendors
// has six million.
const maxOperatorFile = 32 << 20

// readElements reads collector.elements: names of Information Elements by
// enterprise (0 for IANA's) and id. An empty path gives no names of the operator's.
//
//	5951:
//	  128: roundTripTime
func readElements(path string) (netflow.Elements, error) {
	if path == "" {
		return nil, nil
	}
	text, err := files.Read(filepath.Clean(path), maxOperatorFile)
	if err != nil {
		return nil, usageError{fmt.Errorf("read collector.elements: %w", err)}
	}
	var e netflow.Elements
	if err := yaml.Unmarshal(text, &e); err != nil {
		return nil, usageError{fmt.Errorf("read collector.elements %s: %w (want enterprise: {id: name}, such as 5951: {128: roundTripTime})", path, err)}
	}
	return e, nil
}

// flowNames names what flows hold by numbers.
type flowNames struct {
	elements     netflow.Elements
	applications applications
}

// name adds to the JSON of a flow extension_names, a name for each key of extensions
// ("15" or "ENTERPRISE/ID") that has one, and its application, if there is one.
func (n *flowNames) name(raw json.RawMessage) (json.RawMessage, error) {
	var f struct {
		Sampler    string                     `json:"sampler_address"`
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
		if name := n.elements.Name(uint32(p), uint16(i)); name != "" {
			found[key] = name
		}
	}
	added, err := json.Marshal(struct {
		Names       map[string]string `json:"extension_names"` // sorted by key
		Application *application      `json:"application,omitempty"`
	}{found, n.applications.of(f.Sampler, f.Extensions["95"])})
	if err != nil {
		return nil, err
	}
	line := strings.TrimSuffix(strings.TrimSpace(string(raw)), "}")
	return json.RawMessage(line + "," + string(added[1:])), nil
}
