package profile

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var parameter = regexp.MustCompile(`\{(\w+):([\w()]+)\}`)

// bind writes values into a statement where it says {name:Type}. What runs is
// what an alert shows, so the values stand in the text; they are quoted here.
func bind(sql string, values map[string]any) (string, error) {
	var missing error
	out := parameter.ReplaceAllStringFunc(sql, func(p string) string {
		m := parameter.FindStringSubmatch(p)
		v, ok := values[m[1]]
		if !ok {
			missing = fmt.Errorf("bind statement: no value for %s", p)
			return p
		}
		s, err := literal(v, m[2])
		if err != nil {
			missing = fmt.Errorf("bind statement: %s: %w", p, err)
		}
		return s
	})
	return out, missing
}

func literal(v any, kind string) (string, error) {
	switch v := v.(type) {
	case string:
		return quote(v), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		if strings.HasPrefix(kind, "UInt") {
			return strconv.FormatUint(uint64(v), 10), nil
		}
		return "toFloat64(" + strconv.FormatFloat(v, 'g', -1, 64) + ")", nil
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case time.Time:
		return "toDateTime64(" + quote(v.UTC().Format("2006-01-02 15:04:05.000")) + ", 3, 'UTC')", nil
	case netip.Addr:
		return "toIPv6(" + quote(v.String()) + ")", nil
	case []uint16:
		s := make([]string, len(v))
		for i, n := range v {
			s[i] = strconv.Itoa(int(n))
		}
		return "CAST([" + strings.Join(s, ", ") + "], 'Array(UInt16)')", nil
	case []netip.Addr:
		s := make([]string, len(v))
		for i, a := range v {
			s[i] = "toIPv6(" + quote(a.String()) + ")"
		}
		return "[" + strings.Join(s, ", ") + "]", nil
	case []string:
		s := make([]string, len(v))
		for i, text := range v {
			s[i] = quote(text)
		}
		return "[" + strings.Join(s, ", ") + "]", nil
	case []uint64:
		s := make([]string, len(v))
		for i, n := range v {
			s[i] = strconv.FormatUint(n, 10)
		}
		return "CAST([" + strings.Join(s, ", ") + "], 'Array(UInt64)')", nil // one constant: a function for each number takes long to plan
	}
	return "", fmt.Errorf("a %T is no value of a statement", v)
}

var stringEscaper = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

func quote(s string) string { return "'" + stringEscaper.Replace(s) + "'" }
