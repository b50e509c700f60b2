package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestConfigPrint_MasksEveryNode: addresses of nodes hold access keys.
func TestConfigPrint_MasksEveryNode(t *testing.T) {
	file := writeConfig(t, `chain:
  rpc: https://user:SECRET1@one.example.org/v3/SECRET2?key=SECRET3
  fallback_rpc: [https://two.example.org/SECRET4, "http://SECRET5@three.example.org"]
`)
	var out, errs bytes.Buffer
	if code := execute(t.Context(), []string{"tidemark", "--config", file, "config", "print"}, &out, &errs); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	if text := out.String() + errs.String(); strings.Contains(text, "SECRET") || !strings.Contains(text, "two.example.org/***") || !strings.Contains(text, "***@three.example.org") {
		t.Errorf("printed:\n%s", text)
	}
}

func TestConfig_FallbackNodesAreChecked(t *testing.T) {
	file := writeConfig(t, "chain:\n  fallback_rpc: [https://two.example.org, 'ftp://SECRET@x']\n")
	var out, errs bytes.Buffer
	code := execute(t.Context(), []string{"tidemark", "--config", file, "config", "check"}, &out, &errs)
	text := errs.String()
	if code != exitUsage || !strings.Contains(text, "chain.fallback_rpc[1]") || !strings.Contains(text, "chain.rpc, the preferred") || strings.Contains(text, "SECRET") {
		t.Errorf("exit %d: %s", code, text)
	}
}
