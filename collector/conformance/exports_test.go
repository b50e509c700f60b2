package conformance

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tidemark/collector/flow"
)

var update = flag.Bool("update", false, "write testdata/exports.md anew")

const replayed = flow.Replayed | flow.AsExported

// differences reads testdata/differences.tsv: where we and an outside decode
// disagree about a number, and who is right.
func differences(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, d := range manifest(t, filepath.Join("testdata", "differences.tsv")) {
		out[d["capture"]+" "+d["by"]+" "+d["what"]] = []string{d["theirs"], d["ours"], d["reason"]}
	}
	return out
}

// ledger of the differences met, so that a listed one that no longer exists fails too.
type comparison struct {
	t      *testing.T
	listed map[string][]string
	met    map[string]bool
}

func newComparison(t *testing.T) *comparison {
	return &comparison{t, differences(t), map[string]bool{}}
}

// equal holds if ours equals theirs, or the difference is listed with its reason.
func (c *comparison) equal(capture, by, what string, ours, theirs int) {
	c.t.Helper()
	if ours == theirs {
		return
	}
	key := capture + " " + by + " " + what
	d := c.listed[key]
	c.met[key] = true
	if d == nil {
		c.t.Errorf("%s: %s: got %d, %s has %d; not in differences.tsv", capture, what, ours, by, theirs)
		return
	}
	if d[0] != strconv.Itoa(theirs) || d[1] != strconv.Itoa(ours) {
		c.t.Errorf("%s: %s: got %d against %d of %s, differences.tsv lists %s against %s", capture, what, ours, theirs, by, d[1], d[0])
	}
}

// done fails for listed differences of by that were not met.
func (c *comparison) done(by string) {
	for key := range c.listed {
		if strings.Split(key, " ")[1] == by && !c.met[key] {
			c.t.Errorf("differences.tsv lists %q, which does not exist", key)
		}
	}
}

func TestExports_CountsEqualManifest(t *testing.T) {
	dir := captures(t)
	c := newComparison(t)
	var table strings.Builder
	fmt.Fprintln(&table, "| capture | datagrams | flows | of them reverse | late | options | templates | counter samples | waiting at the end | not decoded |")
	fmt.Fprintln(&table, "|---|---|---|---|---|---|---|---|---|---|")
	cases := manifest(t, filepath.Join(dir, "exports", "MANIFEST.tsv"))
	if len(cases) < 87 {
		t.Fatalf("manifest has %d captures, want 87", len(cases))
	}
	for _, m := range cases {
		name := m["capture"]
		a := decode(datagrams(t, filepath.Join(dir, "exports", name)), replayed)
		c.equal(name, "manifest", "datagrams", a.datagrams, atoi(m["datagrams"]))
		c.equal(name, "manifest", "records", a.records+a.OptionsRecords, atoi(m["records_tshark"])+atoi(m["sflow_flow_samples"]))
		c.equal(name, "manifest", "templates", a.Templates, atoi(m["templates"])+atoi(m["option_templates"]))
		c.equal(name, "manifest", "counter-samples", a.CounterSamples, atoi(m["sflow_counter_samples"]))
		if a.Undecodable[flow.ReasonPanic] != 0 {
			t.Errorf("%s: decoder panicked", name)
		}
		if a.batch.Len() != a.Flows {
			t.Errorf("%s: %d rows, results account for %d", name, a.batch.Len(), a.Flows)
		}
		fmt.Fprintf(&table, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %s |\n", name, a.datagrams, a.Flows, a.Reverse, a.Late,
			a.OptionsRecords, a.Templates, a.CounterSamples, a.waiting, reasons(a))
	}
	c.done("manifest")
	golden(t, "exports.md", header(t)+table.String())
}

func reasons(a *account) string {
	var out []string
	for r, n := range a.Undecodable {
		if n > 0 {
			out = append(out, fmt.Sprintf("%v %d", flow.Reason(r), n))
		}
	}
	return strings.Join(out, ", ")
}

// header lists the differences above the table.
func header(t *testing.T) string {
	var b strings.Builder
	fmt.Fprintln(&b, "# The captured exports, decoded\n\nWritten by `go test ./collector/conformance -update`. Differences from outside decodes:\n\n| capture | by | what | theirs | ours | reason |\n|---|---|---|---|---|---|")
	for _, d := range manifest(t, filepath.Join("testdata", "differences.tsv")) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", d["capture"], d["by"], d["what"], d["theirs"], d["ours"], d["reason"])
	}
	return b.String() + "\n"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from what the decoders do now; look at the difference, then run with -update", path)
	}
}
