package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestOutput_NamesAreTextAndNothingElse(t *testing.T) {
	items := []string{"=cmd|'/C calc'!A0", "@SUM(A1)", "+49 30 1", "-5.25", "-", "a\nb", "\x1b[31mred", "lamp\u202egpj", "x\u2028y", "Küche 2"}
	want := []string{"'=cmd|'/C calc'!A0", "'@SUM(A1)", "'+49 30 1", "-5.25", "-", "a b", "�[31mred", "lamp�gpj", "x�y", "Küche 2"}
	var out bytes.Buffer
	if err := writeCSV(&out, items, []column[string]{{"name", left, func(s string) string { return s }, nil}}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSpace(out.String()), "\n")[1:]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("CSV: got %q, want %q", got, want)
	}
	table := grid([]string{"a\nFAKE 10.0.0.1"}, []column[string]{{"name", left, func(s string) string { return s }, nil}}).Render()
	if strings.Contains(table, "\n FAKE") || !strings.Contains(table, "a FAKE") {
		t.Errorf("a name makes two lines of a table:\n%s", table)
	}
}
