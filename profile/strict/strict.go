// Package strict reads YAML that people write into structs, and reports every fault of
// it at once.
package strict

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Decode reads YAML into the struct that dst points to. Unlike the
// library's own strict mode it goes on after a fault: unknown and repeated keys,
// wrong types and bad values are all reported, each with line and path.
func Decode(text []byte, dst any) []Fault {
	var doc yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(text))
	if err := in.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return []Fault{{Text: "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	d := decoder{}
	if len(doc.Content) > 0 {
		d.value(doc.Content[0], reflect.ValueOf(dst).Elem(), "")
	}
	var second yaml.Node
	if err := in.Decode(&second); !errors.Is(err, io.EOF) {
		d.fault(&second, "", "a second document begins (---); want one")
	}
	return d.faults
}

// Fault is one thing wrong at one place. The path is empty where the file as a
// whole is meant, the line 0 where it is not known.
type Fault struct {
	Line int
	Path string
	Text string
}

func (f Fault) String() string {
	place := "  "
	if f.Line > 0 {
		place += fmt.Sprintf("line %d: ", f.Line)
	}
	if f.Path != "" {
		place += f.Path + ": "
	}
	return place + f.Text
}

type decoder struct{ faults []Fault }

func (d *decoder) fault(n *yaml.Node, path, format string, args ...any) {
	d.faults = append(d.faults, Fault{n.Line, path, fmt.Sprintf(format, args...)})
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		d.fault(n, path, "aliases are not read here, write the value out")
		return
	}
	if n.Tag == "!!null" {
		return // "key:" without a value keeps the default
	}
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case isText:
		d.text(n, v, path)
	case v.Kind() == reflect.Struct:
		d.mapping(n, v, path)
	case v.Kind() == reflect.Slice:
		d.sequence(n, v, path)
	case n.Kind != yaml.ScalarNode:
		d.fault(n, path, "got a %s, want %s", kindName(n), goKind(v.Kind()))
	default:
		if err := n.Decode(v.Addr().Interface()); err != nil {
			d.fault(n, path, "got %q, want %s", n.Value, goKind(v.Kind()))
		}
	}
}

func (d *decoder) text(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, path, "got a %s, want one value", kindName(n))
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
		d.fault(n, path, "%v", err)
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "got a %s, want a mapping of keys to values", kindName(n))
		return
	}
	fields := map[string]int{}
	names := []string{}
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		fields[name] = i
		names = append(names, name)
	}
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, at := n.Content[i], n.Content[i].Value
		if path != "" {
			at = path + "." + at
		}
		field, known := fields[key.Value]
		switch {
		case seen[key.Value]:
			d.fault(key, at, "written twice")
		case !known:
			d.fault(key, at, "unknown key%s", DidYouMean(key.Value, names))
		default:
			d.value(n.Content[i+1], v.Field(field), at)
		}
		seen[key.Value] = true
	}
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fault(n, path, "got a %s, want a list", kindName(n))
		return
	}
	if len(n.Content) == 0 {
		v.SetZero() // "[]" is printed for a list that is nil
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(list)
}

// goKind says to people what a field of kind k takes.
func goKind(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return "a whole number, 0 or more"
	case reflect.Float64:
		return "a number"
	}
	return "a text"
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "mapping"
	case yaml.SequenceNode:
		return "list"
	}
	return "single value"
}

// DidYouMean names the known key nearest to got, if one is near.
func DidYouMean(got string, known []string) string {
	best, distance := "", min(3, len(got)/2+1)
	for _, k := range known {
		if n := editDistance(strings.ToLower(got), k); n < distance {
			best, distance = k, n
		}
	}
	if best == "" {
		return ", want one of " + strings.Join(known, ", ")
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// editDistance is the Levenshtein distance in octets.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
