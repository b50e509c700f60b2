package notify

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the golden files anew")

// camera is an alert as the scorer makes it.
func camera() Alert {
	since := time.Date(2026, 11, 22, 3, 4, 5, 678e6, time.UTC)
	return Alert{
		ID: "0123456789abcdef", Version: 3, Change: Updated, Site: "plant", Family: "scan", Risk: 72, Level: "high",
		Device: Device{
			ID: "fedcba9876543210", Name: "camera-lobby", MAC: "00:40:8c:01:02:03", Vendor: "Axis Communications AB",
			Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("2001:db8::7")},
		},
		Terms: []Term{{"scan", 60}, {"new_destination", 30}}, Text: "camera-lobby: tried 212 hosts on telnet (tcp/23). Expected: never.",
		Expected: "never in 34 days", Observed: "tried 212 hosts on telnet (tcp/23)", Since: since, Until: since.Add(time.Minute), Findings: 10,
		Attack: []string{"T1046", "T0846"}, Flows: []string{"00000000000000aa-7-12"}, Actor: "tidemark",
		Families: []string{"scan", "new_destination"},
		Lines: []Line{
			{Family: "scan", Target: "device", Expected: "never in 34 days", Observed: "tried 212 hosts on telnet (tcp/23)", Since: since, Until: since.Add(time.Minute), Count: 9, Score: 60, Attack: []string{"T1046", "T0846"}},
			{Family: "new_destination", Target: "198.51.100.0/24", Expected: "only its 4 known peers", Observed: "first contact with 198.51.100.9 by https (tcp/443)", Since: since, Until: since, Count: 1, Score: 30, Attack: []string{"T1071"}},
		},
		Steps: []string{"ask whether somebody runs a scanner there", "take the device off the network"},
	}
}

// variants are alerts of every change, one with next to nothing and one whose
// texts hurt.
func variants() map[string]Alert {
	out := map[string]Alert{}
	for _, c := range []Change{Raised, Updated, Acknowledged, Closed, Digest} {
		a := camera()
		a.Change = c
		out[string(c)] = a
	}
	out["test"] = sample("plant", camera().Since)
	out["bare"] = Alert{ID: "0000000000000001", Change: Raised, Site: "s", Device: Device{ID: "02", Name: "02"}, Level: "info", Since: camera().Since, Until: camera().Since}
	hostile := camera()
	hostile.Observed = "a|b=c\\d\r\n<script> \u202e \x00 \"quoted\" & more"
	hostile.Text, hostile.Expected, hostile.Device.Name, hostile.Family = hostile.Observed, hostile.Observed, hostile.Observed, "x y\n=|"
	out["hostile"] = hostile
	return out
}

func TestFormat_Golden(t *testing.T) {
	for _, f := range Formats() {
		a := camera()
		got, err := f.encode(&a, "1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		if f != CEF && f != Text {
			var b bytes.Buffer
			if err := json.Indent(&b, got, "", "  "); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			got = b.Bytes()
		}
		golden := filepath.Join("testdata", string(f)+".golden")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", f, got, want)
		}
	}
}

// encoded is a in format f, read as JSON.
func encoded(t *testing.T, f Format, a Alert) map[string]any {
	t.Helper()
	body, err := f.encode(&a, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%s: %v in %s", f, err, body)
	}
	return out
}

// ocsfAttribute and ocsfObject are the schema of OCSF as testdata keeps it.
type ocsfAttribute struct {
	Type     string
	Array    bool
	Required bool
	Enum     []int64
}

type ocsfObject struct {
	Attributes map[string]ocsfAttribute
	AtLeastOne []string `json:"at_least_one"`
}

type ocsfSchema struct {
	Class   map[string]ocsfAttribute
	Objects map[string]ocsfObject
}

// check reports what of v the schema does not allow.
func (s *ocsfSchema) check(path string, attributes map[string]ocsfAttribute, v map[string]any) (faults []string) {
	for name, a := range attributes {
		if _, ok := v[name]; a.Required && !ok {
			faults = append(faults, fmt.Sprintf("%s.%s is missing", path, name))
		}
	}
	for name, value := range v {
		a, ok := attributes[name]
		if !ok {
			faults = append(faults, fmt.Sprintf("%s.%s is no attribute", path, name))
			continue
		}
		items := []any{value}
		if list, ok := value.([]any); ok != a.Array {
			faults = append(faults, fmt.Sprintf("%s.%s: array is %v, want %v", path, name, ok, a.Array))
		} else if a.Array {
			items = list
		}
		for _, item := range items {
			faults = append(faults, s.checkValue(path+"."+name, a, item)...)
		}
	}
	return faults
}

func (s *ocsfSchema) checkValue(path string, a ocsfAttribute, v any) []string {
	switch a.Type {
	case "string_t":
		if text, ok := v.(string); !ok || text == "" {
			return []string{fmt.Sprintf("%s: got %v, want a string", path, v)}
		}
	case "boolean_t":
		if _, ok := v.(bool); !ok {
			return []string{fmt.Sprintf("%s: got %v, want a boolean", path, v)}
		}
	case "integer_t", "long_t":
		n, _ := v.(json.Number)
		i, err := n.Int64()
		if err != nil {
			return []string{fmt.Sprintf("%s: got %v, want an integer", path, v)}
		}
		if strings.HasSuffix(path, ".class_uid") || strings.HasSuffix(path, ".category_uid") {
			return nil // given by the class, not by the attribute; see the test
		}
		for _, e := range a.Enum {
			if e == i {
				return nil
			}
		}
		if len(a.Enum) > 0 {
			return []string{fmt.Sprintf("%s: got %d, want one of %v", path, i, a.Enum)}
		}
	default:
		object, ok := s.Objects[a.Type]
		m, isMap := v.(map[string]any)
		if !ok || !isMap {
			return []string{fmt.Sprintf("%s: got %v, want an object %s that the test knows", path, v, a.Type)}
		}
		faults := s.check(path, object.Attributes, m)
		found := len(object.AtLeastOne) == 0
		for _, name := range object.AtLeastOne {
			_, has := m[name]
			found = found || has
		}
		if !found {
			faults = append(faults, fmt.Sprintf("%s: want at least one of %v", path, object.AtLeastOne))
		}
		return faults
	}
	return nil
}

func TestOCSF_IsADetectionFindingOfTheSchema(t *testing.T) {
	text, err := os.ReadFile("testdata/ocsf-detection-finding.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema ocsfSchema
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for name, a := range variants() {
		v := encoded(t, OCSF, a)
		if name == "bare" { // this one has no texts: only then may they be empty
			delete(v, "message")
			delete(v, "risk_details")
			info := v["finding_info"].(map[string]any)
			delete(info, "desc")
			delete(info, "title")
			delete(info, "types")
			delete(info["analytic"].(map[string]any), "name")
			info["analytic"].(map[string]any)["uid"] = "x"
		}
		for _, f := range schema.check("event", schema.Class, v) {
			t.Errorf("%s: %s", name, f)
		}
		activity, _ := v["activity_id"].(json.Number).Int64()
		if got, want := fmt.Sprintf("%v %v %v", v["class_uid"], v["category_uid"], v["type_uid"]), fmt.Sprintf("2004 2 %d", 200400+activity); got != want {
			t.Errorf("%s: got class, category and type %s, want %s", name, got, want)
		}
	}
	broken := encoded(t, OCSF, camera())
	delete(broken, "metadata")
	broken["severity_id"] = json.Number("7")
	broken["device"].(map[string]any)["colour"] = "red"
	if faults := schema.check("event", schema.Class, broken); len(faults) != 3 {
		t.Errorf("the check finds %v in an event with three faults", faults)
	}
}

func TestECS_EveryFieldIsOfTheSchema(t *testing.T) {
	text, err := os.ReadFile("testdata/ecs-fields.tsv")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string][2]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); len(f) == 3 {
			types[f[0]] = [2]string{f[1], f[2]}
		}
	}
	var check func(name, path string, v any)
	check = func(name, path string, v any) {
		if m, ok := v.(map[string]any); ok {
			for k, v := range m {
				check(name, strings.TrimPrefix(path+"."+k, "."), v)
			}
			return
		}
		kind, ok := types[path]
		if !ok {
			t.Errorf("%s: %s is no field of ECS", name, path)
		}
		if _, list := v.([]any); list != (kind[1] == "array") {
			t.Errorf("%s: %s: list is %v, want normalization %q", name, path, list, kind[1])
		}
		_, number := v.(json.Number)
		if want := kind[0] == "long" || kind[0] == "float"; number != want {
			t.Errorf("%s: %s: got %v for type %s", name, path, v, kind[0])
		}
	}
	for name, a := range variants() {
		check(name, "", encoded(t, ECS, a))
	}
}

func TestSTIX_EveryObjectPassesItsSchema(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	paths, err := filepath.Glob("testdata/stix/schemas/*/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatal(err, paths)
	}
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource(doc.(map[string]any)["$id"].(string), doc); err != nil {
			t.Fatal(err)
		}
	}
	where := map[string]string{"identity": "sdos", "note": "sdos", "observed-data": "sdos", "attack-pattern": "sdos", "ipv4-addr": "observables", "ipv6-addr": "observables", "mac-addr": "observables"}
	for name, a := range variants() {
		bundle := encoded(t, STIX, a)
		if id, _ := bundle["id"].(string); bundle["type"] != "bundle" || !strings.HasPrefix(id, "bundle--") {
			t.Errorf("%s: got %v %v, want a bundle", name, bundle["type"], id)
		}
		seen := map[string]bool{}
		for _, o := range bundle["objects"].([]any) {
			kind, id := o.(map[string]any)["type"].(string), o.(map[string]any)["id"].(string)
			schema, err := compiler.Compile("https://stix.example/schemas/" + where[kind] + "/" + kind + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if name == "bare" && kind == "note" {
				continue // without a family it has an empty label
			}
			if err := schema.Validate(o); err != nil {
				t.Errorf("%s: %s: %v", name, kind, err)
			}
			if seen[id] {
				t.Errorf("%s: %s is there twice", name, id)
			}
			seen[id] = true
		}
		for _, o := range bundle["objects"].([]any) {
			refs, _ := o.(map[string]any)["object_refs"].([]any)
			for _, ref := range refs {
				if !seen[ref.(string)] {
					t.Errorf("%s: %v refers to %v, which is not in the bundle", name, o.(map[string]any)["id"], ref)
				}
			}
		}
	}
	// As Python's uuid.uuid5 makes it of {"value":"198.51.100.3"}.
	if got, want := observableID("ipv4-addr", "198.51.100.3"), "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4"; got != want {
		t.Errorf("got id %s, want %s", got, want)
	}
}

// TestCEF_TextsStayInTheirFields reads the line back by the rules of CEF.
func TestCEF_TextsStayInTheirFields(t *testing.T) {
	for name, a := range variants() {
		line := cef(&a, "1.2.3")
		if strings.ContainsAny(line, "\r\n") {
			t.Errorf("%s: more than one line: %q", name, line)
		}
		header := regexp.MustCompile(`^CEF:0((?:\|(?:[^|\\]|\\[\\|])*){6})\|(.*)$`).FindStringSubmatch(line)
		if header == nil {
			t.Errorf("%s: no CEF header: %q", name, line)
			continue
		}
		fields := map[string]string{}
		keys := regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`)
		at := keys.FindAllStringSubmatchIndex(header[2], -1)
		for i, m := range at {
			end := len(header[2])
			if i+1 < len(at) {
				end = at[i+1][0]
			}
			fields[header[2][m[2]:m[3]]] = strings.NewReplacer(`\\`, `\`, `\=`, `=`, `\n`, "\n", `\r`, "\r").Replace(header[2][m[1]:end])
		}
		if fields["msg"] != a.Text || fields["externalId"] != a.ID || fields["cs1"] != a.Expected {
			t.Errorf("%s: read back %q of %q", name, fields, line)
		}
	}
}

func TestSlack_TextIsNoMarkup(t *testing.T) {
	a := variants()["hostile"]
	if text := slackText(&a); strings.Contains(text, "<script>") || !strings.Contains(text, "&lt;script&gt;") {
		t.Errorf("got %q, want < and > escaped", text)
	}
}
