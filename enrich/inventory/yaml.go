package inventory

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readYAML reads YAML or JSON: a list of devices, or a mapping with the list
// under "devices" (or "data", as NetAlertX writes JSON).
func readYAML(text []byte, l *List) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("no YAML or JSON: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(root.Content); i += 2 {
			if k := root.Content[i].Value; k == "devices" || k == "data" {
				root = root.Content[i+1]
				break
			}
		}
	}
	if root.Kind != yaml.SequenceNode {
		return fmt.Errorf("line %d: want a list of devices, or a key devices with one", root.Line)
	}
	for _, n := range root.Content {
		if n.Kind != yaml.MappingNode {
			l.fault(n.Line, "want a mapping such as {name: lobby, mac: \"00:40:8c:12:34:56\"}")
			continue
		}
		item := Item{Line: n.Line}
		if line, err := item.read(n); err != nil {
			l.fault(line, "%v", err)
			continue
		}
		l.add(item)
	}
	return nil
}

// read fills an item from a mapping and says at which line it could not.
func (i *Item) read(n *yaml.Node) (int, error) {
	for k := 0; k+1 < len(n.Content); k += 2 {
		field, value := strings.ToLower(n.Content[k].Value), n.Content[k+1]
		if known, ok := columnNames[field]; ok {
			field = known
		} else if strings.HasPrefix(field, "dev") {
			continue // other fields of NetAlertX
		}
		switch field {
		case "id", "vendor", "first", "last", "state", "approved", "tags": // of our own export
			continue
		}
		values := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			values = value.Content
		}
		for _, v := range values {
			if v.Kind != yaml.ScalarNode {
				return v.Line, fmt.Errorf("%s: want one value or a list of them", field)
			}
			if v.Tag == "!!null" || absent(v.Value) {
				continue
			}
			if err := i.set(field, v.Value); err != nil {
				return v.Line, err
			}
		}
	}
	return 0, nil
}
