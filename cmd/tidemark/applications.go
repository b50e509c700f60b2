package main

import (
	"context"
	"encoding/hex"
	"encoding/json"

	"tidemark/collector/netflow"
)

// application is what the exporter recognised a flow as (RFC 6759).
type application struct {
	ID   string `json:"id"`             // ENGINE:SELECTOR, see netflow.ApplicationID
	Name string `json:"name,omitempty"` // as the exporter calls it now
}

// applications names applications: the daemon knows what its exporters call them,
// and is asked at most once, when the first flow with an application is shown.
type applications struct {
	ask   func() []exporterApplications
	asked bool
	names map[[2]string]string // by exporter and id
}

type exporterApplications struct {
	Address      string                `json:"address"`
	Applications []netflow.Application `json:"applications"`
}

// askDaemon is the daemon's answer; without a daemon ids have no names.
func askDaemon(ctx context.Context, dir string) []exporterApplications {
	var status struct {
		Exporters []exporterApplications `json:"exporters"`
	}
	if err := newDaemonClient(dir).get(ctx, "/v1/exporters", &status); err != nil {
		return nil
	}
	return status.Exporters
}

// of returns the application of a flow from its exporter and the octets of its
// extension applicationId, in hex; nil if it has none.
func (a *applications) of(exporter string, octets json.RawMessage) *application {
	var values []string
	if json.Unmarshal(octets, &values) != nil || len(values) == 0 {
		return nil
	}
	v, err := hex.DecodeString(values[0])
	id := netflow.ApplicationID(v)
	if err != nil || id == "" {
		return nil
	}
	if !a.asked {
		a.asked, a.names = true, map[[2]string]string{}
		for _, e := range a.ask() {
			for _, known := range e.Applications {
				a.names[[2]string{e.Address, known.ID}] = known.Name
			}
		}
	}
	return &application{id, a.names[[2]string{exporter, id}]}
}

// String is the name, or the id of one without.
func (a *application) String() string {
	switch {
	case a == nil:
		return ""
	case a.Name == "":
		return a.ID
	}
	return a.Name
}
