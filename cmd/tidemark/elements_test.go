package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidemark/collector/netflow"
)

func TestElements_NamesStandBesideTheIDs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elements.yaml")
	if err := os.WriteFile(path, []byte("0:\n  15: our own name\n424242: {7: theirs}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	elements, err := readElements(path)
	if err != nil {
		t.Fatal(err)
	}
	names := flowNames{elements: elements}
	got, err := names.name(json.RawMessage(`{"name":"x","extensions":{"15":["c0"],"5951\/128":["00"],"424242/7":["01"],"424242/8":["02"]}}`))
	want := `{"name":"x","extensions":{"15":["c0"],"5951\/128":["00"],"424242/7":["01"],"424242/8":["02"]},"extension_names":{"15":"our own name","424242/7":"theirs","5951/128":"roundTripTime"}}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if got, err := new(flowNames).name(json.RawMessage(`{"extensions":{}}`)); err != nil || !json.Valid(got) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestFlowNames_ApplicationsAreThoseOfTheFlowsExporter(t *testing.T) {
	asked := 0
	names := flowNames{applications: applications{ask: func() []exporterApplications {
		asked++
		return []exporterApplications{
			{"192.0.2.1", []netflow.Application{{ID: "13:431", Name: "https"}}},
			{"192.0.2.2", []netflow.Application{{ID: "13:431", Name: "another"}}},
		}
	}}}
	for in, want := range map[string]string{
		`{"sampler_address":"192.0.2.1","extensions":{"95":["0d0001af"]}}`: `,"application":{"id":"13:431","name":"https"}}`,
		`{"sampler_address":"192.0.2.3","extensions":{"95":["0d0001af"]}}`: `,"application":{"id":"13:431"}}`,
		`{"sampler_address":"192.0.2.1","extensions":{"95":["0d"]}}`:       `"95":"applicationId"}}`,
		`{"sampler_address":"192.0.2.1","extensions":{}}`:                  `,"extension_names":{}}`,
	} {
		if got, err := names.name(json.RawMessage(in)); err != nil || !strings.HasSuffix(string(got), want) || !json.Valid(got) {
			t.Errorf("%s: got %s, %v, want it to end in %s", in, got, err, want)
		}
	}
	if asked != 1 {
		t.Errorf("the daemon was asked %d times, want once", asked)
	}
}

func TestElements_BrokenFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elements.yaml")
	if err := os.WriteFile(path, []byte("cisco: {128: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".none"} {
		if _, err := readElements(p); err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("readElements(%s): %v, want an error that names the file", p, err)
		}
	}
}
