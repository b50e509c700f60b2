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
	names, err := readElements(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := nameExtensions(json.RawMessage(`{"name":"x","extensions":{"15":["c0"],"5951\/128":["00"],"424242/7":["01"],"424242/8":["02"]}}`), names)
	want := `{"name":"x","extensions":{"15":["c0"],"5951\/128":["00"],"424242/7":["01"],"424242/8":["02"]},"extension_names":{"15":"our own name","424242/7":"theirs","5951/128":"roundTripTime"}}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if got, err := nameExtensions(json.RawMessage(`{"extensions":{}}`), netflow.Elements(nil)); err != nil || !json.Valid(got) {
		t.Errorf("got %s, %v", got, err)
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
