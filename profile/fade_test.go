package profile

import (
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestRiskAt_HalvesWhatIsNotFoundAgain(t *testing.T) {
	s, err := New(nil, Config{Site: "home", Shadow: []string{"drift"}}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 9, 8, 0, 0, 0, time.UTC)
	scan := Line{Family: "scan", Stage: "recon", Score: 80, Until: at}
	tests := []struct {
		name  string
		state State
		lines []Line
		risk  uint8
		after time.Duration
		want  uint8
	}{
		{"at once", StateOpen, []Line{scan}, 80, 0, 80},
		{"an exporter's clock ahead of the newest flow", StateOpen, []Line{scan}, 80, -time.Hour, 80},
		{"half a day later", StateOpen, []Line{scan}, 80, 12 * time.Hour, 40},
		{"a day later", StateAcknowledged, []Line{scan}, 80, 24 * time.Hour, 20},
		{"longer", StateOpen, []Line{scan}, 80, 25 * time.Hour, 0},
		{"closed", StateClosed, []Line{scan}, 80, 0, 0},
		{"what was found again counts whole", StateOpen, []Line{scan, {Family: "scan", Stage: "recon", Score: 60, Until: at.Add(12 * time.Hour)}}, 80, 12 * time.Hour, 60},
		{"each line by itself", StateOpen, []Line{{Family: "scan", Stage: "recon", Score: 80, Until: at}, {Family: "failed_access", Stage: "recon", Score: 50, Until: at.Add(12 * time.Hour)}}, 90, 12 * time.Hour, 70},
		{"in the shadow", StateOpen, []Line{{Family: "drift", Stage: "control", Score: 60, Until: at}}, 0, 0, 0},
		{"of a version before lines", StateOpen, nil, 80, 12 * time.Hour, 40},
	}
	for _, tt := range tests {
		i := Incident{State: tt.state, Lines: tt.lines, Risk: tt.risk, Changed: at}
		if got := s.RiskAt(i, Device{}, at.Add(tt.after)); got != tt.want {
			t.Errorf("%s: risk %d, want %d", tt.name, got, tt.want)
		}
	}
}
