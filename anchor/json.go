package anchor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// errNumber is a number RFC 8785 cannot carry: JSON numbers there are IEEE 754
// doubles. Larger integers travel as strings (RFC 8785, Appendix D).
var errNumber = errors.New("number is not an IEEE 754 double; write it as a string")

// canonicalJSON appends v, made of what encoding/json decodes into any with
// UseNumber, in the canonical form of RFC 8785.
func canonicalJSON(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		return canonicalString(dst, v)
	case json.Number:
		return canonicalNumber(dst, string(v))
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = canonicalJSON(dst, e); err != nil {
				return dst, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		return canonicalObject(dst, v)
	}
	return dst, fmt.Errorf("JSON value of type %T", v)
}

// canonicalObject sorts names by their UTF-16 code units (RFC 8785, Section
// 3.2.3), which differs from the order of UTF-8 octets beyond U+FFFF.
func canonicalObject(dst []byte, object map[string]any) ([]byte, error) {
	type member struct {
		units []uint16
		name  string
	}
	members := make([]member, 0, len(object))
	for name := range object {
		members = append(members, member{utf16.Encode([]rune(name)), name})
	}
	slices.SortFunc(members, func(a, b member) int { return slices.Compare(a.units, b.units) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = canonicalString(dst, m.name); err != nil {
			return dst, fmt.Errorf("%q: %w", m.name, err)
		}
		dst = append(dst, ':')
		if dst, err = canonicalJSON(dst, object[m.name]); err != nil {
			return dst, fmt.Errorf("%q: %w", m.name, err)
		}
	}
	return append(dst, '}'), nil
}

// canonicalString escapes as RFC 8785, Section 3.2.2.2 and nothing more.
func canonicalString(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return dst, fmt.Errorf("string %q is not UTF-8", s)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		}
	}
	return append(dst, '"'), nil
}

// canonicalNumber writes a number as ECMAScript's Number::toString (RFC 8785,
// Section 3.2.2.3).
func canonicalNumber(dst []byte, literal string) ([]byte, error) {
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || math.IsInf(f, 0) {
		return dst, fmt.Errorf("%s: %w", literal, errNumber)
	}
	if f == 0 { // also -0
		return append(dst, '0'), nil
	}
	if isInteger(literal) && strconv.FormatFloat(f, 'f', -1, 64) != literal {
		return dst, fmt.Errorf("%s: %w", literal, errNumber)
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64), nil
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); n >= 4 && dst[n-3] != 'e' && dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst[n-2] = dst[n-1] // e-07 is written e-7
		dst = dst[:n-1]
	}
	return dst, nil
}

func isInteger(literal string) bool {
	for i := range len(literal) {
		if c := literal[i]; (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// decodeJSON reads exactly one JSON value.
func decodeJSON(p []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the value")
	}
	return v, nil
}
