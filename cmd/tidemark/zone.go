package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a machine without a table of zones has one nevertheless

	"tidemark/profile/calendar"
)

// zone is what the clocks of the site show: as configured, else as on this machine,
// which mostly stands there. A machine that does not name its zone is taken for UTC.
func (c Config) zone() (*time.Location, error) {
	if c.Profile.TimeZone == "" {
		zone, err := loadZone(machineZone(os.Getenv("TZ"), "/etc/localtime"))
		if err != nil {
			return time.UTC, nil
		}
		return zone, nil
	}
	return loadZone(c.Profile.TimeZone)
}

// loadZone finds a zone by its name in the IANA database, which the engine knows
// too.
func loadZone(name string) (*time.Location, error) {
	if slices.Contains([]string{"Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu"}, name) {
		return time.UTC, nil // as everybody calls it
	}
	var zone *time.Location
	err := fmt.Errorf("a zone of another kind")
	if first, _, _ := strings.Cut(name, "/"); name != "" && name != "Local" && first != "right" && first != "posix" {
		zone, err = time.LoadLocation(name)
	}
	if err != nil {
		return nil, fmt.Errorf("got %q, want a name of the IANA time zone database such as Europe/Berlin or UTC", name)
	}
	return zone, nil
}

// machineZone is the name of the machine's zone: that of TZ, else what the link
// /etc/localtime points at below zoneinfo; "" if neither names one.
func machineZone(tz, link string) string {
	if tz = strings.TrimPrefix(tz, ":"); tz != "" && !filepath.IsAbs(tz) {
		return tz
	}
	target, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	_, name, _ := strings.Cut(filepath.ToSlash(target), "zoneinfo/")
	return name
}

// validateZone reports the faults of the time zone and of the calendars.
func (c Config) validateZone(fault func(path, format string, args ...any)) {
	zone, err := c.zone()
	if err != nil {
		fault("profile.time_zone", "%v", err)
		zone = time.UTC
	}
	for _, err := range calendar.Validate(c.Profile.Calendars, zone) {
		for i, line := range strings.Split(err.Error(), "\n") {
			if i == 0 {
				path, text, _ := strings.Cut(line, ": ")
				fault("profile.calendars"+path, "%s", text)
			} else {
				fault("profile.calendars", "%s", line)
			}
		}
	}
}
