package profile

import (
	"math"
	"slices"
	"time"
)

// halfLife is how long nothing new must come of a line until it counts half
// (reference/detection.md, 3.6). After a quiet day, at a quarter, the incident is
// closed.
const halfLife = 12 * time.Hour

// RiskAt is what is left at a time of the risk of an incident about a device: each
// line counts less the longer its last finding is ago. Risk is what it was then.
func (s *Scorer) RiskAt(i Incident, d Device, at time.Time) uint8 {
	if i.State == StateClosed {
		return 0
	}
	fade := func(since time.Time) float64 { return math.Exp2(-max(0, at.Sub(since).Hours()) / halfLife.Hours()) }
	if len(i.Lines) == 0 { // of a version before lines
		return uint8(math.Round(float64(i.Risk) * fade(i.Changed)))
	}
	families := map[string]evidence{}
	for _, l := range i.live(at) {
		if slices.Contains(s.config.Shadow, l.Family) {
			continue
		}
		e := families[l.Family]
		families[l.Family] = evidence{score: max(e.score, float64(l.Score)/100*fade(l.Until)), stage: l.Stage}
	}
	if len(families) == 0 {
		return 0
	}
	percent, _, _ := risk(families, s.kappa(d))
	return min(percent, i.Risk)
}
