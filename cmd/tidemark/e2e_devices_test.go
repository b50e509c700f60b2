package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A camera behind a router that exports NetFlow v5, which has no MACs: the lease
// file says who it is. What people say of it is part of the record.
func TestDevices_KnownByLeasesNamedApprovedMergedAndKept(t *testing.T) {
	t.Parallel()
	const mac, address = "f4:b8:5e:00:00:26", "192.168.1.126"
	capture := filepath.Join(captures(t), "iot", "generated", "blink-cam-03.softflowd-v5-300s.pcap")
	dir := t.TempDir()
	leases, list := filepath.Join(dir, "kea-leases4.csv"), filepath.Join(dir, "list.csv")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(leases, fmt.Sprintf("address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n%s,%s,,%d,%d,1,0,0,blink-3,0,,0\nbroken\n",
		address, mac, 400*24*3600, time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC).Unix()))
	s := newSite(t, "networks: [192.168.0.0/16]", fmt.Sprintf("identity: {sources: [{file: %q, format: kea}]}", leases))
	s.start("--dev-chain")
	s.want(exitOK, "replay", capture)
	s.want(exitOK, "anchor", "now")

	type device struct {
		ID        string            `json:"id"`
		MAC       string            `json:"mac"`
		Host      string            `json:"host"`
		Label     string            `json:"label"`
		Identity  string            `json:"identity"`
		Addresses []string          `json:"addresses"`
		State     string            `json:"state"`
		Facts     map[string]string `json:"facts"`
		Flows     uint64            `json:"flows"`
	}
	find := func(words ...string) device {
		t.Helper()
		var found []device
		s.read(&found, append([]string{"devices", "--output", "json", "--match"}, words...)...)
		if len(found) != 1 {
			t.Fatalf("%d devices match %q, want 1: %+v", len(found), words, found)
		}
		return found[0]
	}
	d := find(address)
	if d.MAC != mac || d.Host != "blink-3" || d.Identity != "assigned" || d.Flows == 0 {
		t.Fatalf("got %+v, want the MAC and the name of the lease", d)
	}
	s.says(exitOK, []string{leases, "kea", "line 3"}, "devices", "sources")

	s.says(exitUsage, []string{"--reason is missing"}, "devices", "approve", address)
	s.says(exitOK, []string{" as ann", "part of the record"}, "devices", "approve", "--reason", "ordered", "--as", "ann", address)
	s.want(exitOK, "devices", "name", "--reason", "it hangs there", "blink-3", "back door")
	s.want(exitOK, "devices", "label", "--reason", "audit", "back door", "zone=yard")
	s.says(exitUsage, []string{"criticality", "hgih", "did you mean \"high\""}, "devices", "label", "--reason", "audit", "back door", "criticality=hgih")
	s.says(exitUsage, []string{"no such file"}, "devices", "mud", "--reason", "x", "back door", filepath.Join(dir, "none.json"))
	s.want(exitOK, "devices", "mud", "--reason", "from the maker", "back door", "https://example.com/blink.json")
	s.says(exitOK, []string{"not judged: anything: a URL is noted and not fetched"}, "devices", "show", "back door")
	if d = find("back door"); d.Facts["approved"] != "yes" || d.Facts["zone"] != "yard" || d.Facts["mud"] == "" {
		t.Errorf("got %+v, want what was said of it", d)
	}
	s.says(exitOK, []string{"back door", mac, "told by a lease", "lease, 95 %", "yard", "volume", "Monday", "PEER"}, "devices", "show", "back door")

	exported := s.want(exitOK, "devices", "export").stdout
	write(list, exported)
	s.says(exitOK, []string{"0 changed"}, "devices", "import", "--reason", "as it was", list)
	write(list, "devMac,devName,devLastIP,devOwner\n"+mac+",Yard camera,"+address+",facilities\nInternet,x,,\n")
	s.says(exitOK, []string{"line 3", "1 changed"}, "devices", "import", "--reason", "audit", list)
	if d = find("Yard"); d.Label != "Yard camera" || d.Facts["owner"] != "facilities" {
		t.Errorf("got %+v, want what the list says", d)
	}
	s.want(exitOK, "devices", "retire", "--reason", "scrapped", mac)
	s.want(exitOK, "devices", "retire", "--undo", "--reason", "a mistake", mac)

	s.want(exitOK, "anchor", "now")
	kinds := strings.Fields(s.sql("SELECT kind FROM events WHERE kind LIKE 'device%' AND actor LIKE '%' ORDER BY batch_index, pos"))
	want := []string{"device_approved", "device_named", "device_labelled", "device_mud", "device_imported", "device_retired", "device_retired"}
	if !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
	if n := s.number("SELECT count() FROM events WHERE kind = 'device_approved' AND actor LIKE '% as ann' AND position(body, 'ordered') > 0"); n != 1 {
		t.Errorf("%d events say who approved and why, want 1", n)
	}
	s.intact(s.trust())
}

// A plan that a person approves is handed to the program the operator named, taken
// back when it is lifted, and part of the record with who, why and which filter.
func TestContain_ApprovedPlanReachesTheHookAndTheRecord(t *testing.T) {
	t.Parallel()
	const address = "192.168.1.126"
	capture := filepath.Join(captures(t), "iot", "generated", "blink-cam-03.softflowd-v5-300s.pcap")
	dir := t.TempDir()
	hook, asked := filepath.Join(dir, "quarantine"), filepath.Join(dir, "asked")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho \"$TIDEMARK_ACTION $TIDEMARK_PLAN\" >> "+asked+"\ncat >> "+asked+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "networks: [192.168.0.0/16]", fmt.Sprintf("contain: {hook: %q}", hook))
	s.start("--dev-chain")
	s.want(exitOK, "replay", capture)
	s.want(exitOK, "anchor", "now")
	s.says(exitOK, []string{"Nothing was applied"}, "contain", "device", address)
	if _, err := os.Stat(asked); err == nil {
		t.Fatal("the hook was run for a plan that nobody approved")
	}
	s.says(exitUsage, []string{"--reason is missing"}, "contain", "device", "--approve", address)
	s.says(exitOK, []string{"table inet tidemark-", "is approved until", "part of the record", "applied"}, "contain", "device", "--approve", "--reason", "ticket 81", "--as", "ann", address)
	s.says(exitUsage, []string{"lift it first"}, "contain", "device", "--approve", "--reason", "again", address)
	var plans []struct{ Name, State, Reason string }
	s.read(&plans, "contain", "list", "--output", "json")
	if len(plans) != 1 || plans[0].State != "applied" || plans[0].Reason != "ticket 81" {
		t.Fatalf("got %+v, want the one plan, applied", plans)
	}
	erase := []string{"erase", "--device", address, "--rule", "GDPR Art. 17", "--reason", "request 12"}
	s.says(exitUsage, []string{plans[0].Name, "is applied until", "contain lift"}, erase...)
	s.says(exitUsage, []string{plans[0].Name, "contain lift"}, append(erase, "--yes")...)
	s.says(exitUsage, []string{"tidemark-none", "not found"}, "contain", "lift", "--reason", "cleaned", "tidemark-none")
	s.says(exitOK, []string{"ended"}, "contain", "lift", "--reason", "cleaned", plans[0].Name)
	text, err := os.ReadFile(asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"apply " + plans[0].Name, "lift " + plans[0].Name, "ip saddr " + address, `"approved_by"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the hook was not told %q:\n%s", want, text)
		}
	}
	s.stop()
	s.says(exitOK, []string{"applied"}, "contain", "device", "--approve", "--reason", "without a daemon", address)
	kinds := strings.Fields(s.sql("SELECT kind FROM events WHERE kind LIKE 'containment%' ORDER BY batch_index, pos"))
	want := []string{"containment_approved", "containment_applied", "containment_lifted", "containment_removed", "containment_approved", "containment_applied"}
	if !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
}
