package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestPackages_DependDownwardsOnly holds the house rule of the design:
// cmd -> {collector, enrich, profile, anchor} -> storage -> collector/flow.
func TestPackages_DependDownwardsOnly(t *testing.T) {
	allowed := map[string][]string{
		"tidemark/collector/flow":         {},
		"tidemark/collector/flow/oneline": {},
		"tidemark/collector/netflow":      {"tidemark/collector/flow"},
		"tidemark/collector/sflow":        {"tidemark/collector/flow", "tidemark/collector/netflow"},
		"tidemark/collector":              {"tidemark/collector/"},
		"tidemark/enrich":                 {"tidemark/collector/flow", "tidemark/enrich/binding"},
		"tidemark/enrich/kind":            {},
		"tidemark/enrich/names":           {"tidemark/storage", "tidemark/collector/flow"},
		"tidemark/enrich/classifier":      {"tidemark/enrich/kind", "tidemark/storage", "tidemark/collector/flow"},
		"tidemark/storage":                {"tidemark/storage/", "tidemark/collector/flow"},
		"tidemark/storage/embedded":       {},
		"tidemark/profile":                {"tidemark/profile/", "tidemark/storage", "tidemark/collector/flow", "tidemark/collector/flow/oneline"},
		"tidemark/profile/aggregate":      {"tidemark/storage", "tidemark/collector/flow"},
		"tidemark/profile/calendar":       {"tidemark/profile/stamp"},
		"tidemark/profile/contain":        {},
		"tidemark/profile/intel":          {"tidemark/profile/stamp"},
		"tidemark/profile/mud":            {"tidemark/profile/stamp"},
		"tidemark/profile/hook":           {},
		"tidemark/profile/strict":         {},
		"tidemark/profile/notify":         {"tidemark/profile/hook", "tidemark/collector/flow/oneline"},
		"tidemark/anchor/merkle":          {"tidemark/anchor/merkle/"},
		"tidemark/anchor/txmgr":           {"tidemark/anchor/"},
		"tidemark/anchor/binding":         {},
		"tidemark/anchor/chain":           {"tidemark/anchor/"},
		"tidemark/anchor/publish":         {"tidemark/anchor/"},
		"tidemark/anchor":                 {"tidemark/anchor/", "tidemark/storage", "tidemark/collector/flow"},
		"tidemark/cmd/sitesim":            {"tidemark/cmd/sitesim/"},
	}
	for pkg, may := range allowed {
		out, err := exec.Command("go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		for _, dep := range strings.Fields(string(out)) {
			if !strings.HasPrefix(dep, "tidemark/") || dep == pkg {
				continue
			}
			if !permitted(dep, may) {
				t.Errorf("%s depends on %s: the design allows only %v", pkg, dep, may)
			}
		}
	}
	onlyUser(t, "github.com/ebitengine/purego", "tidemark/storage/embedded")
}

func permitted(dep string, may []string) bool {
	for _, m := range may {
		if dep == m || strings.HasSuffix(m, "/") && strings.HasPrefix(dep, m) || m == "tidemark/storage" && strings.HasPrefix(dep, "tidemark/storage/") {
			return true
		}
	}
	return false
}

// onlyUser checks that no package of ours but user imports lib itself.
func onlyUser(t *testing.T, lib, user string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "tidemark/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		pkg, imports, _ := strings.Cut(line, ": ")
		for _, imp := range strings.Fields(imports) {
			if imp == lib && pkg != user {
				t.Errorf("%s imports %s: only %s may", pkg, lib, user)
			}
		}
	}
}
