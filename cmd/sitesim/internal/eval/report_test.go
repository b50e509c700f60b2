package eval

import (
	"bytes"
	"strings"
	"testing"
)

// TestWrite_TheDocumentHoldsWhatIsAskedOfIt: recall with its interval by each factor, real apart from
// synthetic, failures of everything that may be looked at, and an alert as a reader sees it.
func TestWrite_TheDocumentHoldsWhatIsAskedOfIt(t *testing.T) {
	found := Outcome{Attack: "beacon", Level: 1, Device: "cam-found", Notified: true, Listed: true, Seconds: -1, Hidden: -1}
	missed := Outcome{Attack: "beacon", Level: 2, Device: "cam-missed", Seconds: -1, Hidden: -1}
	two := []Outcome{found, missed}
	of := func(kind, set, maturity string, sampling int) *Result {
		return &Result{Name: kind + "-" + set + "-" + maturity, Kind: kind, Set: set, Sampling: sampling, Maturity: maturity, Identity: "MAC", Outcomes: two}
	}
	lists := of(Bars, Tuning, "learned", 1)
	lists.Examples = map[string]Example{"beacon": {Text: "10.0.0.1: calls somebody.", Explained: "alert 1\nobserved calls somebody"}}
	sampled := of(Delays, Tuning, "learned", 100)
	sampled.Outcomes = []Outcome{{Attack: "scan", Seconds: 60, Hidden: 10}, {Attack: "beacon", Seconds: 300, Hidden: -1}, {Attack: "ddos", Seconds: -1, Hidden: 5}}
	quiet := &Result{Name: "splice-v9-00", Kind: Splice, Set: "real", DeviceDays: 36}
	all := []*Result{
		of(Attacks, Tuning, "learned", 1), of(Attacks, Tuning, "initial", 100), of(Poison, Tuning, "initial", 1), of(Ramp, Tuning, "learned", 1),
		lists, of(Bars, Sealed, "learned", 1), of(Splice, "real", "learned", 1), quiet, sampled,
	}
	var doc bytes.Buffer
	if err := Write(&doc, all, "a test"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| tuning | C2 on novel peers, learned devices, unsampled | 0.93 | 2/4 **0.50** (0.15–0.85) | **not reached** |", // parts attacks and bars
		"| real | every attack on a device after its real benign days raises an alert of an accepted family on it | all | 1/2 **0.50** (0.09–0.91) | **not reached** |",
		"| real | alerts in the real benign days alone | 0 | 0 in 36 device-days, exported 1 times | reached |",
		"| **all** | 1/2 (0.09–0.91) | 1/2 (0.09–0.91) | – |", // by sampling
		"| 1:100, learned, MAC | 2/3 | ≤ 5 min | never | 1/2 | never | never |",
		"### tuning seeds: learned devices on unsampled routers",
		"nobody was notified of by the right name: 2",
		"younger devices or through sampling: 1",
		"what the operator configured: 2",
		"The same of real attacks: 1",
		"> 10.0.0.1: calls somebody.\n\n```\nalert 1\nobserved calls somebody\n```",
		"by 2, 5, 10, 20 and 50 % a day",
	} {
		if !strings.Contains(doc.String(), want) {
			t.Errorf("the document lacks %q", want)
		}
	}
	if strings.Contains(doc.String(), "%%") || strings.Contains(doc.String(), "%!") {
		t.Error("the document shows verbs of its own formatting")
	}
	if failures := doc.String()[strings.Index(doc.String(), "## Failures"):]; strings.Contains(failures, Sealed) {
		t.Error("failures of sealed seeds are shown")
	}
}
