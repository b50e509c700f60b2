package profile

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Term is one summand of the explanation of a risk, in percent.
type Term struct {
	Name  string `json:"name"`
	Value int32  `json:"value"`
}

// evidence is what one family of findings says about a device.
type evidence struct {
	score float64 // severity * strength * confidence, 0 to 1
	stage string
	hard  bool
}

// amounts are families that say how much there was, and when: of traffic that
// novelties, if there are any, speak of too.
var (
	amounts   = []string{"volume", "growth", "unexpected_hour"}
	novelties = []string{"new_destination", "new_service"}
)

// risk joins the families of a device: a noisy-OR, so that ten copies of one
// weak sign stay weak and two independent signs add up. Each further stage of an
// attack takes 15 % of what is left of doubt (reference/detection.md, 3.6).
// kappa is how much the device matters: 1 is normal.
//
// Amounts are not independent signs: of them and of the novelties together, which
// see the same octets, the stronger side counts.
func risk(families map[string]evidence, kappa float64) (percent uint8, worth bool, terms []Term) {
	doubt, same := 1.0, 0.0
	stages := map[string]bool{}
	hard, signs := false, 0
	for _, name := range slices.Sorted(maps.Keys(families)) {
		e := families[name]
		hard = hard || e.hard
		terms = append(terms, Term{name, int32(math.Round(100 * e.score))})
		if slices.Contains(amounts, name) {
			same = max(same, e.score)
			continue
		}
		doubt *= 1 - e.score
		stages[e.stage] = true
		signs++
	}
	seen := 1.0
	for _, name := range novelties {
		seen *= 1 - families[name].score
	}
	if less := 1 - same; less < seen { // more than the novelties, or there are none
		if seen == 1 {
			signs++
		}
		doubt *= less / seen
	}
	if more := len(stages) - 1; more > 0 {
		before := doubt
		doubt *= max(0, 1-0.15*float64(more))
		terms = append(terms, Term{"stages", int32(math.Round(100 * (before - doubt)))})
	}
	if kappa != 1 {
		before := doubt
		doubt = math.Pow(doubt, kappa)
		terms = append(terms, Term{"criticality", int32(math.Round(100 * (before - doubt)))})
	}
	percent = uint8(math.Round(100 * (1 - doubt)))
	return percent, percent >= 40 && (signs >= 2 || hard), terms
}

// independent is how many of the families are signs of their own.
func independent(families []string) (n int) {
	amount, novelty := false, false
	for _, f := range families {
		if slices.Contains(amounts, f) {
			amount = true
			continue
		}
		novelty = novelty || slices.Contains(novelties, f)
		n++
	}
	if amount && !novelty {
		n++
	}
	return n
}

// kappas are how much more than others a device of some criticality matters.
var kappas = map[string]float64{"low": 0.8, "high": 1.25, "critical": 1.5}

// kappa is how much a device matters: as people say, else by its kind.
func (s *Scorer) kappa(d Device) float64 {
	level := cmp.Or(d.Facts["criticality"], s.config.Criticality(d.Kind))
	return cmp.Or(kappas[level], 1)
}

// Level is the word for a risk.
func Level(risk uint8) string {
	switch {
	case risk >= 80:
		return "critical"
	case risk >= 60:
		return "high"
	case risk >= 40:
		return "medium"
	case risk >= 20:
		return "low"
	}
	return "info"
}
