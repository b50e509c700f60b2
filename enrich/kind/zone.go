package kind

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Zone is a part of the site that the operator names, such as a network of
// medical devices, and how much depends on what is in it.
type Zone struct {
	Name        string
	Networks    []netip.Prefix // of devices in it
	Labels      []string       // or their labels, with * and ?
	Criticality string         // low, normal, high, critical; "" = that of the kind
}

// Validate reports every fault of a zone.
func (z Zone) Validate() error {
	var errs []error
	if z.Name == "" {
		errs = append(errs, errors.New("has no name"))
	}
	if len(z.Networks)+len(z.Labels) == 0 {
		errs = append(errs, errors.New("has neither networks nor labels"))
	}
	for _, l := range z.Labels {
		if _, err := path.Match(l, ""); err != nil {
			errs = append(errs, fmt.Errorf("labels: got %q, want a pattern such as ward-*", l))
		}
	}
	if z.Criticality != "" && !slices.Contains(Levels, z.Criticality) {
		errs = append(errs, fmt.Errorf("criticality: got %q, want one of %s", z.Criticality, strings.Join(Levels, ", ")))
	}
	return errors.Join(errs...)
}

// ZoneOf returns the first zone a device is in, by its label or an address; ok
// is false if it is in none.
func ZoneOf(zones []Zone, label string, addrs []netip.Addr) (z Zone, ok bool) {
	for _, z := range zones {
		if slices.ContainsFunc(z.Labels, func(l string) bool { m, _ := path.Match(l, label); return m && label != "" }) {
			return z, true
		}
		for _, a := range addrs {
			if slices.ContainsFunc(z.Networks, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) }) {
				return z, true
			}
		}
	}
	return Zone{}, false
}
