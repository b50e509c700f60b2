package profile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/profile"
)

// example is the detector file of the documentation.
func example(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/detectors/foreign_resolver.sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rules is a directory with detector files.
func rules(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeRule(t, dir, name, text)
	}
	return dir
}

func writeRule(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// edited is the example under another name with some of it replaced.
func edited(t *testing.T, name string, pairs ...string) string {
	t.Helper()
	text := strings.Replace(example(t), "-- foreign_resolver:", "-- "+name+":", 1)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the example has no %q", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// filed is a configuration with the detectors of a directory and no built-in one.
func filed(dir string) profile.Config {
	c := only()
	c.Detectors = dir
	return c
}

// asked are questions to a name server outside.
func asked(at time.Time, server string, n int) (out []talk) {
	for i := range n {
		out = append(out, talk{at: at.Add(time.Duration(i) * time.Second), from: "10.0.0.2", to: server, mac: camera, dmac: router, port: 53, proto: 17, out: 70, in: 140})
	}
	return out
}

func alerts(t *testing.T, s *site, family string) (out []profile.Incident) {
	t.Helper()
	list, err := s.Alerts(t.Context(), profile.AlertFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if slices.Contains(i.Families, family) {
			out = append(out, i)
		}
	}
	return out
}

func TestDetectorFiles_TheExampleOfTheDocumentationAlerts(t *testing.T) {
	dir := rules(t, map[string]string{"foreign_resolver.sql": example(t)})
	s := newSite(t, profile.Config{Detectors: dir})
	s.add(asked(monday, "9.9.9.9", 5)...)
	s.score()
	found := alerts(t, s, "foreign_resolver")
	if len(found) != 1 {
		t.Fatalf("got %d alerts, want 1; status %+v", len(found), s.DetectorStatus())
	}
	i := found[0]
	if i.Risk != 54 || !i.Notify || !slices.Contains(i.Attack, "T1071.004") || i.Lines[0].Stage != "control" || !strings.Contains(i.Observed, "9.9.9.9") || !strings.Contains(i.Observed, "10 flows") {
		t.Errorf("got risk %d, told %v, %v: %s", i.Risk, i.Notify, i.Attack, i.Text)
	}
	list, err := s.Rules(t.Context(), i)
	if err != nil || len(list) == 0 {
		t.Errorf("nothing to contain: %v, %v", list, err)
	}
	x := profile.Exclusion{Device: i.Device, Family: "foreign_resolver", Reason: "test"}
	if _, err := s.Exclude(t.Context(), []profile.Exclusion{x}, profile.By{Actor: "me", Reason: "test", At: monday}); err != nil {
		t.Errorf("an exclusion of the family: %v", err)
	}
}

func TestDetectorFiles_TunedDisabledOnTrialAndBacktested(t *testing.T) {
	dir := rules(t, map[string]string{"foreign_resolver.sql": example(t)})
	trial, tuning, without := filed(dir), filed(dir), filed(dir)
	trial.Shadow = []string{"foreign_resolver"}
	tuning.Parameters = map[string]map[string]float64{"foreign_resolver": {"min_flows": 11}}
	without.Disabled = append(without.Disabled, "foreign_resolver")
	s := newSite(t, trial)
	s.add(asked(monday, "9.9.9.9", 5)...)
	s.score()
	if found := alerts(t, s, "foreign_resolver"); len(found) != 1 || found[0].Risk != 0 {
		t.Fatalf("on trial: got %+v, want one incident of risk 0", found)
	}
	tried := s.again(filed(dir))
	b, err := tried.Backtest(t.Context(), monday.Add(-time.Hour), 0, func(time.Time) {})
	if err != nil || len(b.Lines) != 1 || b.Lines[0].Family != "foreign_resolver" {
		t.Errorf("backtest: %+v, %v", b.Lines, err)
	}
	tuned := s.again(tuning)
	tuned.score()
	if found := alerts(t, tuned, "foreign_resolver"); len(found) != 0 {
		t.Errorf("tuned to 6 questions: %d alerts", len(found))
	}
	off := s.again(without)
	off.score()
	if found := alerts(t, off, "foreign_resolver"); len(found) != 0 || len(off.DetectorStatus().InForce) != 0 {
		t.Errorf("switched off: %d alerts", len(found))
	}
	bad := profile.Config{Detectors: dir, Site: "home", Parameters: map[string]map[string]float64{"foreign_resolver": {"min_flows": 0, "nosuch": 1}}}
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "got 0, want 1 to 10000") || !strings.Contains(err.Error(), `no parameter "nosuch"`) {
		t.Errorf("parameters out of bounds: %v", err)
	}
}

func TestDetectorFiles_EveryFaultOfEveryFileAtOnce(t *testing.T) {
	const last = "FROM contacts\n"
	faulty := map[string]struct{ text, want string }{
		"volume.sql":         {edited(t, "volume"), "volume.sql: name: volume is a built-in detector"},
		"No-Name.sql":        {edited(t, "No-Name"), `name: got "No-Name"`},
		"empty.sql":          {"", `empty.sql:1: got "", want "-- empty: ..."`},
		"other_name.sql":     {example(t), `other_name.sql:1: got "-- foreign_resolver`},
		"no_evidence.sql":    {edited(t, "no_evidence", "Minimum evidence:", "Evidence:"), `no_evidence.sql:1: the comment says nothing after "Minimum evidence:"`},
		"no_settings.sql":    {edited(t, "no_settings", "-- ---", "--"), "no_settings.sql:1: got no settings"},
		"no_yaml.sql":        {edited(t, "no_yaml", "-- stage: control", "-- stage: [control"), "not YAML"},
		"unknown_key.sql":    {edited(t, "unknown_key", "-- stage:", "-- stag:"), `unknown_key.sql:11: stag: unknown key, did you mean "stage"?`},
		"bad_stage.sql":      {edited(t, "bad_stage", "stage: control", "stage: chaos"), `bad_stage.sql:11: stage: got "chaos", want one of recon, access`},
		"bad_severity.sql":   {edited(t, "bad_severity", "severity: 0.6", "severity: 7"), "bad_severity.sql:10: severity: got 7"},
		"nan_severity.sql":   {edited(t, "nan_severity", "severity: 0.6", "severity: .nan"), "severity: got NaN"},
		"bad_attack.sql":     {edited(t, "bad_attack", "T1568", "X15"), `attack[1]: got "X15"`},
		"bad_bounds.sql":     {edited(t, "bad_bounds", "value: 6", "value: 0"), "parameters[0].value: got 0, want 1 to 10000"},
		"taken.sql":          {edited(t, "taken", "name: min_flows", "name: device"), "device is taken"},
		"bad_family.sql":     {edited(t, "bad_family", "-- target: peer", "-- target: peer\n-- family: nosuch"), `family: got "nosuch"`},
		"undeclared.sql":     {edited(t, "undeclared", "{min_flows:UInt64}", "{least:UInt64}"), "{least:UInt64} is no parameter"},
		"unused.sql":         {edited(t, "unused", "{min_flows:UInt64}", "3"), "parameter min_flows is not used"},
		"unbounded.sql":      {edited(t, "unbounded", "batch_index > {after:UInt64} AND ", ""), "{after:UInt64} is not used"},
		"drops.sql":          {edited(t, "drops", "SELECT\n", "DROP TABLE contacts --\n"), `drops.sql:18: got "DROP", want one SELECT`},
		"two.sql":            {edited(t, "two", last, "FROM contacts; DROP TABLE contacts\n"), "got a ;"},
		"escapes.sql":        {edited(t, "escapes", last, "FROM contacts) INTO OUTFILE '/tmp/x' --\n"), "got a ) without its ("},
		"settings.sql":       {edited(t, "settings", "HAVING sum(flows)", "SETTINGS max_memory_usage = 0 HAVING sum(flows)"), "got SETTINGS"},
		"clock_of_now.sql":   {edited(t, "clock_of_now", "max(last) AS until", "now64(3) AS until"), "calls now64"},
		"reads_file.sql":     {edited(t, "reads_file", "1. AS strength", "length(file('/etc/passwd')) + 1. AS strength"), "calls file"},
		"quoted_file.sql":    {edited(t, "quoted_file", "1. AS strength", "length(`file` ('/etc/passwd')) + 1. AS strength"), "calls file"},
		"reads_url.sql":      {edited(t, "reads_url", last, "FROM url('http://127.0.0.1/', 'CSV', 'a String') AS contacts\n"), "reads by url"},
		"open_text.sql":      {edited(t, "open_text", "'names are", "names' are 'x"), "does not end"},
		"no_parse.sql":       {edited(t, "no_parse", last, "FORM contacts\n"), "no_parse.sql:27: the engine refuses the statement: Syntax error"},
		"no_column.sql":      {edited(t, "no_column", "max(last) AS until", "max(lasst) AS until"), "no_column.sql:21: the engine refuses the statement: Unknown expression or function identifier `lasst`"},
		"no_table.sql":       {edited(t, "no_table", last, "FROM contract AS contacts\n"), "'contract'"},
		"shadowed.sql":       {edited(t, "shadowed", "contacts.confidence", "confidence"), "shadowed.sql:29: confidence is compared"},
		"lacks_columns.sql":  {edited(t, "lacks_columns", "    1. AS strength,\n", "", " AS expected", " AS because"), "returns no column strength"},
		"wrong_types.sql":    {edited(t, "wrong_types", "toUInt64(0) AS peer_device", "'none' AS peer_device"), "column peer_device: got String, want UInt64"},
		"too_many_lines.sql": {strings.Repeat("-", 70<<10), "more than 65536 octets"},
		"not_utf8.sql":       {"-- not_utf8: \xff\xfe", "want a text in UTF-8"},
	}
	files := map[string]string{"foreign_resolver.sql": example(t), "notes.txt": "not a detector"}
	for name, f := range faulty {
		files[name] = f.text
	}
	dir := rules(t, files)
	if err := os.Mkdir(filepath.Join(dir, "directory.sql"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, profile.Config{})
	good, faults, err := s.CheckDetectors(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(good) != 1 || good[0].Name != "foreign_resolver" {
		t.Errorf("good: %d, want the example alone", len(good))
	}
	said := map[string]string{}
	for _, f := range faults {
		said[filepath.Base(f.File)] += f.String() + "\n"
	}
	for name, f := range faulty {
		if !strings.Contains(said[name], f.want) {
			t.Errorf("%s: no %q in:\n%s", name, f.want, said[name])
		}
	}
	for _, want := range []string{"returns no column strength", "returns no column expected", "column because is none of a finding"} {
		if !strings.Contains(said["lacks_columns.sql"], want) {
			t.Errorf("lacks_columns: not all at once, no %q in:\n%s", want, said["lacks_columns.sql"])
		}
	}
	if !strings.Contains(said["directory.sql"], "no regular file") {
		t.Errorf("a directory: %s", said["directory.sql"])
	}
	if n := len(said); n != len(faulty)+1 {
		t.Errorf("%d files have faults, want %d: %v", n, len(faulty)+1, said["foreign_resolver.sql"])
	}
}

func TestDetectorFiles_AFaultLeavesTheOldInForceAndIsTold(t *testing.T) {
	dir := rules(t, map[string]string{"foreign_resolver.sql": example(t)})
	s := newSite(t, filed(dir))
	s.score()
	if st := s.DetectorStatus(); st.Err() != nil || len(st.InForce) != 1 {
		t.Fatalf("at first: %+v", st)
	}
	writeRule(t, dir, "foreign_resolver.sql", strings.Replace(example(t), "sum(flows) >=", "summ(flows) >=", 1))
	writeRule(t, dir, "second.sql", edited(t, "second"))
	s.add(asked(monday, "9.9.9.9", 5)...)
	s.score()
	st := s.DetectorStatus()
	if len(st.InForce) != 2 || len(st.Faults) != 1 || !strings.Contains(st.Err().Error(), "foreign_resolver.sql:31: the engine refuses the statement") {
		t.Errorf("with a fault: %+v", st)
	}
	if len(alerts(t, s, "foreign_resolver")) != 1 || len(alerts(t, s, "second")) != 1 {
		t.Error("the old one, or the good one beside it, is not in force")
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	s.score()
	if st := s.DetectorStatus(); len(st.InForce) != 2 || st.Err() == nil {
		t.Errorf("without the directory: %+v", st)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	writeRule(t, dir, "foreign_resolver.sql", example(t))
	if err := os.Remove(filepath.Join(dir, "second.sql")); err != nil {
		t.Fatal(err)
	}
	s.score()
	if st := s.DetectorStatus(); st.Err() != nil || !slices.Equal(st.InForce, []string{"foreign_resolver"}) {
		t.Errorf("mended: %+v", st)
	}
}

func TestDetectorFiles_OneThatFailsStopsNoOther(t *testing.T) {
	dir := rules(t, map[string]string{
		"foreign_resolver.sql": example(t),
		"throws.sql":           edited(t, "throws", "1. AS strength", "toFloat64(throwIf(sum(flows) > 0, 'out of <peer>')) AS strength"),
		"too_strong.sql":       edited(t, "too_strong", "1. AS strength", "1.5 AS strength"),
		"of_nobody.sql":        edited(t, "of_nobody", "device, 'client' AS role", "toUInt64(0) AS device, 'client' AS role", "GROUP BY device", "GROUP BY contacts.device"),
		"too_many.sql":         edited(t, "too_many", "peer, toUInt64(0) AS peer_device", "peer + arrayJoin(range(2000)) AS peer, toUInt64(0) AS peer_device", "GROUP BY device, peer,", "GROUP BY device, contacts.peer,"),
		"says_much.sql":        edited(t, "says_much", "'names are asked of the resolver of the site'", `concat('\n\x1b[31m', repeat('x', 5000))`),
	})
	s := newSite(t, filed(dir))
	for k := range 4 {
		s.add(asked(monday.Add(time.Duration(k)*10*time.Minute), "9.9.9.9", 5)...)
		s.score()
	}
	if len(alerts(t, s, "foreign_resolver")) != 1 {
		t.Errorf("the good one found nothing: %+v", s.DetectorStatus())
	}
	st := s.DetectorStatus()
	told := fmt.Sprint(st.Err())
	for name, want := range map[string]string{"throws": "out of <peer>", "too_strong": "strength is 1.5, want 0 to 1", "of_nobody": "device is 0", "too_many": "more than 1000 in one run"} {
		if !strings.Contains(told, "detector "+name+" fails") || !strings.Contains(told, want) {
			t.Errorf("%s: no %q in %s", name, want, told)
		}
		if n := st.Failures[name]; n == 0 || n >= 4 {
			t.Errorf("%s failed %d times in 4 runs, want some of them left out", name, n)
		}
	}
	list := alerts(t, s, "says_much")
	if len(list) != 1 {
		t.Fatal("what says much did not speak")
	}
	for _, l := range list[0].Lines {
		if l.Family == "says_much" && (len(l.Expected) > 500 || strings.ContainsAny(l.Expected, "\n\x1b")) {
			t.Errorf("expected: %.100q of %d octets", l.Expected, len(l.Expected))
		}
	}
	tried := s.again(filed(dir))
	if _, err := tried.Backtest(t.Context(), monday.Add(-time.Hour), 0, func(time.Time) {}); err == nil {
		t.Error("a backtest says nothing of a detector that fails")
	}
}
