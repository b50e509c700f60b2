package profile

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

var (
	//go:embed query/own_findings.sql
	ownFindingsSQL string
	//go:embed query/table_functions.sql
	tableFunctionsSQL string
)

// What a statement of a detector file may take. Alerts are to come within seconds, so
// one that runs with each batch has less time.
const (
	promptSeconds = 5
	steadySeconds = 30
	ownMemory     = 1 << 30
	maxFound      = 1000 // findings of one run: of more it is the rule that is wrong
)

// columns of a finding, what types they may have, and how to get there.
var findingColumns = []struct {
	name  string
	types *regexp.Regexp
	want  string
}{
	{"device", regexp.MustCompile(`^UInt64$`), "UInt64, the id of the device"},
	{"role", regexp.MustCompile(`^(String|LowCardinality\(String\)|Enum8\(.*\))$`), "String: 'client', 'server' or 'unknown'"},
	{"peer", regexp.MustCompile(`^UInt64$`), "UInt64 as in contacts; toUInt64(0) = several or none"},
	{"peer_device", regexp.MustCompile(`^UInt64$`), "UInt64 as in contacts; toUInt64(0) = outside, several or none"},
	{"peer_addr", regexp.MustCompile(`^IPv6$`), "IPv6 as in contacts; toIPv6('::') = several or none"},
	{"proto", regexp.MustCompile(`^UInt8$`), "UInt8, such as toUInt8(6); toUInt8(0) = several"},
	{"port", regexp.MustCompile(`^UInt16$`), "UInt16, such as toUInt16(22); toUInt16(0) = several"},
	{"since", regexp.MustCompile(`^DateTime`), "DateTime64(3, 'UTC'), such as min(first)"},
	{"until", regexp.MustCompile(`^DateTime`), "DateTime64(3, 'UTC'), such as max(last)"},
	{"strength", regexp.MustCompile(`^Float(32|64)$`), "Float64 from 0 to 1: how far from normal"},
	{"confidence", regexp.MustCompile(`^Float(32|64)$`), "Float64 from 0 to 1: in what it rests on"},
	{"severity", regexp.MustCompile(`^Float(32|64)$`), "Float64 from 0 to 1, such as {severity:Float64}"},
	{"expected", regexp.MustCompile(`^String$`), "String: what is usual"},
	{"observed", regexp.MustCompile(`^String$`), "String: what was seen"},
}

// refusedFunctions are those whose answer depends on when one asks, wait, or read
// files. Functions that read from elsewhere are asked of the engine.
var refusedFunctions = map[string]string{
	"now": "", "now64": "", "nowinblock": "", "today": "", "yesterday": "", "current_timestamp": "", "utc_timestamp": "", "curdate": "", "current_date": "", "utctimestamp": "",
	"sleep": "it waits", "sleepeachrow": "it waits", "file": "it reads a file",
}

// harmless are table functions that read nothing, or share their name with a function.
var harmless = []string{"numbers", "numbers_mt", "zeros", "zeros_mt", "values", "view", "null", "format", "generate_series", "generateseries"}

var (
	callRE  = regexp.MustCompile(`(\w+)\s*\(`)
	wordRE  = regexp.MustCompile(`\w+`)
	startRE = regexp.MustCompile(`(?i)^[\s(]*(WITH|SELECT)\b`)
)

// statement looks at the statement without an engine.
func (f *detectorFile) statement(d *Detector) {
	code, err := bare(d.sql)
	if err != nil {
		f.fault(err.line, "%s", err.text)
		return
	}
	at := func(offset int) int { return 1 + strings.Count(code[:offset], "\n") }
	if !startRE.MatchString(code) {
		first := len(code) - len(strings.TrimLeft(code, " \t\n("))
		f.fault(at(min(first, len(code))), "got %q, want one SELECT, or WITH ... SELECT", firstWord(code[first:]))
		return
	}
	depth := 0
	for i, c := range code {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ';':
			f.fault(at(i), "got a ;, want one statement, without ; at its end")
		}
		if depth < 0 {
			f.fault(at(i), "got a ) without its (")
			return
		}
	}
	if depth > 0 {
		f.fault(len(f.lines), "%d ( without their )", depth)
	}
	for _, m := range wordRE.FindAllStringIndex(code, -1) {
		if strings.EqualFold(code[m[0]:m[1]], "SETTINGS") {
			f.fault(at(m[0]), "got SETTINGS, want none: the limits of a detector are not its own to set")
		}
	}
	for _, m := range callRE.FindAllStringSubmatchIndex(code, -1) {
		name := code[m[2]:m[3]]
		why, refused := refusedFunctions[strings.ToLower(name)]
		if refused && why == "" {
			why = "time is that of the events, or a backtest would find nothing: compare with first and last of contacts"
		}
		if refused {
			f.fault(at(m[0]), "calls %s, which is not for detectors: %s", name, why)
		}
	}
	f.shadowed(code, at)
	f.placeholders(d)
}

var (
	comparedRE = regexp.MustCompile(`(?i)(?:^|[^.\w])(device|role|peer|peer_device|peer_addr|proto|port|confidence)\s*(?:[=<>]|!=|(?:NOT\s+)?IN\b)`)
	nestedRE   = regexp.MustCompile(`(?i)\(\s*(?:SELECT|WITH)\b`)
)

// shadowed tells of a column that is compared under a name the statement gives to
// something else: SQL takes the latter, and a rule that never fires looks like peace.
func (f *detectorFile) shadowed(code string, at func(int) int) {
	if nestedRE.MatchString(code) {
		return // in which SELECT a name is given is not known here
	}
	for _, m := range comparedRE.FindAllStringSubmatchIndex(code, -1) {
		name := code[m[2]:m[3]]
		if regexp.MustCompile(`(?i)\bAS\s+` + name + `\b`).MatchString(code) {
			f.fault(at(m[2]), "%s is compared, and the statement calls something else %s: write contacts.%s for the column", name, name, name)
		}
	}
}

// placeholders compares {name:Type} of the statement with what there is.
func (f *detectorFile) placeholders(d *Detector) {
	used := map[string]bool{}
	known := append(slices.Clone(given), slices.Sorted(maps.Keys(d.Parameters))...)
	for i, line := range f.lines {
		for _, m := range parameter.FindAllStringSubmatch(line, -1) {
			used[m[1]] = true
			if !slices.Contains(known, m[1]) {
				f.fault(i+1, "{%s:%s} is no parameter: declare it in the opening comment, or use one of %s", m[1], m[2], strings.Join(known, ", "))
			}
		}
	}
	for _, name := range needed {
		if !used[name] {
			f.fault(0, "{%s:UInt64} is not used: want log = {log:UInt64} AND batch_index > {after:UInt64} AND batch_index <= {upto:UInt64} on contacts, else each run finds the same again", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
		if !used[name] && name != "severity" {
			f.fault(f.find(0, len(f.lines), name), "parameter %s is not used: write {%s:Float64} or {%s:UInt64} where it belongs, or take it out", name, name, name)
		}
	}
}

type codeFault struct {
	line int
	text string
}

// bare is a statement without comments and texts: blanks stand where they stood.
func bare(sql string) (string, *codeFault) {
	out := []byte(sql)
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			if out[i] != '\n' {
				out[i] = ' '
			}
		}
	}
	line := func(at int) int { return 1 + strings.Count(sql[:at], "\n") }
	for i := 0; i < len(sql); {
		rest := sql[i:]
		switch {
		case strings.HasPrefix(rest, "--"):
			end := i + len(rest)
			if n := strings.IndexByte(rest, '\n'); n >= 0 {
				end = i + n
			}
			blank(i, end)
			i = end
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest, "*/")
			if n < 0 {
				return "", &codeFault{line(i), "a comment begins with /* and does not end"}
			}
			blank(i, i+n+2)
			i += n + 2
		case rest[0] == '\'' || rest[0] == '`' || rest[0] == '"':
			end := quotedEnd(rest)
			if end < 0 {
				return "", &codeFault{line(i), "a text begins with " + rest[:1] + " and does not end"}
			}
			if rest[0] == '\'' {
				blank(i, i+end)
			} else { // a name: what could be taken for code is made a part of it
				for k := i + 1; k < i+end-1; k++ {
					if !wordRE.Match(out[k : k+1]) {
						out[k] = '_'
					}
				}
				out[i], out[i+end-1] = ' ', ' '
			}
			i += end
		case rest[0] == '$' || rest[0] == '#':
			return "", &codeFault{line(i), "got a " + rest[:1] + ", want texts in '...' and comments after --"}
		default:
			i++
		}
	}
	return string(out), nil
}

// quotedEnd is the length of the text or name that s begins with; < 0 without an end.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == s[0] && i+1 < len(s) && s[i+1] == s[0]:
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return -1
}

func firstWord(code string) string {
	if w := wordRE.FindString(code); w != "" {
		return w
	}
	return "nothing"
}

// limited lets a statement read only, for so many seconds.
func limited(ctx context.Context, d *Detector) context.Context {
	seconds := promptSeconds
	if d.pace == steady {
		seconds = steadySeconds
	}
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"readonly": 1, "max_execution_time": seconds, "max_memory_usage": ownMemory,
	}))
}

// asFindings makes a statement of a detector file one that returns findings as the
// scorer reads them, of one device if that is asked.
func asFindings(sql string) string {
	return strings.Replace(strings.TrimSpace(ownFindingsSQL), "STATEMENT", strings.TrimSpace(sql), 1)
}

// tryFile asks the engine about the statement of a file. What the engine cannot say now
// is an error.
func (s *Scorer) tryFile(ctx context.Context, d *Detector) ([]FileFault, error) {
	f := detectorFile{path: d.File, lines: strings.Split(d.sql, "\n")}
	if err := s.elsewhere(ctx, &f, d); err != nil || len(f.faults) > 0 {
		return f.faults, err
	}
	values := s.values(d, s.config.Log, 0, 0, 0)
	sql, err := bind(d.sql, values)
	if err != nil {
		return nil, err
	}
	columns := map[string]string{}
	rows, err := s.db.Conn().Query(limited(ctx, d), "DESCRIBE TABLE ("+sql+"\n)")
	if err == nil {
		for rows.Next() {
			text := make([]string, len(rows.Columns()))
			into := make([]any, len(text))
			for i := range text {
				into[i] = &text[i]
			}
			if err = rows.Scan(into...); err != nil {
				break
			}
			columns[text[0]] = text[1]
		}
		err = errors.Join(err, rows.Err(), rows.Close())
	}
	if err != nil {
		return f.refusal(err)
	}
	for _, c := range findingColumns {
		if got, ok := columns[c.name]; !ok {
			f.fault(0, "the statement returns no column %s: want %s", c.name, c.want)
		} else if !c.types.MatchString(got) {
			f.fault(f.find(0, len(f.lines), "AS "+c.name), "column %s: got %s, want %s", c.name, got, c.want)
		}
		delete(columns, c.name)
	}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		f.fault(f.find(0, len(f.lines), "AS "+name), "column %s is none of a finding: take it out of the last SELECT", name)
	}
	if len(f.faults) > 0 {
		return f.faults, nil
	}
	if sql, err = bind(asFindings(d.sql), values); err != nil {
		return nil, err
	}
	if _, err := s.ownFindings(ctx, d, sql); err != nil { // of no batches: only that it can run
		return f.refusal(err)
	}
	return nil, nil
}

// elsewhere refuses functions that read from outside the database, as the engine lists
// them.
func (s *Scorer) elsewhere(ctx context.Context, f *detectorFile, d *Detector) error {
	list, err := column[string](ctx, s, tableFunctionsSQL, nil)
	if err != nil {
		return fmt.Errorf("list table functions: %w", err)
	}
	code, _ := bare(d.sql)
	for _, m := range callRE.FindAllStringSubmatchIndex(code, -1) {
		name := strings.ToLower(code[m[2]:m[3]])
		if slices.Contains(list, name) && !slices.Contains(harmless, name) {
			f.fault(1+strings.Count(code[:m[0]], "\n"), "reads by %s: want the tables of the database only (tidemark sql \"SHOW TABLES\")", code[m[2]:m[3]])
		}
	}
	return nil
}

var (
	positionRE = regexp.MustCompile(`\(line (\d+), col \d+\)`)
	namedRE    = regexp.MustCompile("[`'](\\w+)['`]")
)

// refusal turns what the engine says against a statement into a fault with its line.
// What passes by itself is none; what is not of the statement is an error.
func (f *detectorFile) refusal(err error) ([]FileFault, error) {
	var said *clickhouse.Exception
	if errors.Is(err, errNoFinding) {
		f.fault(0, "%v", err)
		return f.faults, nil
	}
	if !errors.As(err, &said) {
		return nil, err
	}
	if passing(said) {
		return nil, nil
	}
	line := 0
	if m := positionRE.FindStringSubmatch(said.Message); m != nil {
		line, _ = strconv.Atoi(m[1])
	} else if m := namedRE.FindStringSubmatch(said.Message); m != nil {
		code, _ := bare(strings.Join(f.lines, "\n"))
		if at := regexp.MustCompile(`\b` + m[1] + `\b`).FindStringIndex(code); at != nil {
			line = 1 + strings.Count(code[:at[0]], "\n")
		}
	}
	f.fault(line, "the engine refuses the statement: %s", briefly(said))
	return f.faults, nil
}

// passing says that the engine may take the same statement another time: it had no
// memory, no time, or too much to do.
func passing(e *clickhouse.Exception) bool {
	return slices.Contains([]int32{159, 202, 241, 394}, e.Code)
}

// briefly is what an engine says without the statement and all that could have stood there.
func briefly(e *clickhouse.Exception) string {
	text := e.Message
	for _, tail := range []string{" Expected one of: ", " in scope ", " In scope ", ": In scope ", "(in query: "} {
		text, _, _ = strings.Cut(text, tail)
	}
	return strings.TrimRight(strings.Join(strings.Fields(text), " "), " .:(")
}

// errNoFinding says that a row is no finding.
var errNoFinding = errors.New("a row is no finding")

// check says what of a row cannot be, and makes its texts one line each.
func (f *finding) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", errNoFinding, fmt.Sprintf(format, args...))
	}
	for name, v := range map[string]float64{"strength": f.Strength, "confidence": f.Confidence, "severity": f.Severity} {
		if !(v >= 0 && v <= 1) {
			return wrong("%s is %v, want 0 to 1", name, v)
		}
	}
	switch {
	case f.Device == 0:
		return wrong("device is 0, want the id of one")
	case !slices.Contains([]string{"client", "server", "unknown"}, f.Role):
		return wrong("role is %.40q, want client, server or unknown", f.Role)
	case f.Since.Unix() <= 0 || f.Until.Before(f.Since):
		return wrong("it lasts from %s to %s", f.Since.Format(time.RFC3339), f.Until.Format(time.RFC3339))
	case f.Expected == "" || f.Observed == "":
		return wrong("expected or observed is empty")
	}
	f.Expected, f.Observed = oneLine(f.Expected), oneLine(f.Observed)
	return nil
}
