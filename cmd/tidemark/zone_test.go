package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfig_ZoneAndCalendarsAreFaultsBesideTheOthers(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "page.ics")
	if err := os.WriteFile(page, []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := LoadConfig(writeConfig(t, `
site: "Not A Name"
profile:
  time_zone: Europe/Atlantis
  calendars:
    - {file: `+page+`}
    - {file: `+filepath.Join(dir, "none.ics")+`, days: sometimes}
`))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`site: got "Not A Name"`, `profile.time_zone: got "Europe/Atlantis"`, "profile.calendars[0].file: calendar " + page + ", line 1: no calendar",
		`profile.calendars[1].days: got "sometimes"`, "profile.calendars[1].file: read calendar",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
}

func TestMachineZone_IsThatOfTheEnvironmentElseOfTheLink(t *testing.T) {
	link := filepath.Join(t.TempDir(), "localtime")
	if err := os.Symlink("/usr/share/zoneinfo/America/Argentina/Ushuaia", link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ tz, link, want string }{
		{"", link, "America/Argentina/Ushuaia"}, {":Asia/Tokyo", link, "Asia/Tokyo"}, {"/etc/localtime", link, "America/Argentina/Ushuaia"}, {"", link + "x", ""},
	} {
		if got := machineZone(tt.tz, tt.link); got != tt.want {
			t.Errorf("TZ=%q, link %s: got %q, want %q", tt.tz, tt.link, got, tt.want)
		}
	}
	if zone, err := loadZone("Etc/UTC"); err != nil || zone.String() != "UTC" {
		t.Errorf("zone Etc/UTC is called %s, error %v", zone, err)
	}
	for _, name := range []string{"Local", "", "posix/Europe/Berlin", "../../etc/passwd", "CET+1"} {
		if zone, err := loadZone(name); err == nil {
			t.Errorf("zone %q: got %s, want a fault", name, zone)
		}
	}
}
