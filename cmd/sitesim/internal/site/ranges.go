package site

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Range is from what to what a parameter was drawn.
type Range struct{ Low, High float64 }

func (r *Range) add(x float64) {
	if x > 0 {
		r.Low, r.High = min(r.Low, x), max(r.High, x)
	}
}

// A Habit is one routine of a model with the ranges of its parameters among instances.
type Habit struct {
	Do              Style
	To              string
	Inbound         bool
	Port            uint16
	State           string
	Pace            Range // seconds between two, or their mean
	Up, Down, Lasts Range // medians: octets (a second, if Rate), seconds
	Rate            bool
	Share           float64 // of the instances that have it
}

// rangeSites is how many sites are drawn to see the ranges of a model.
const rangeSites = 40

// Ranges are the habits of a model, as so many sites have them; none for an unknown model.
func Ranges(model string) []Habit {
	var all []Habit
	instances := 0
	none := Range{math.Inf(1), 0}
	for seed := range uint64(rangeSites) {
		plan := Draw(Population{Seed: seed + 1, Devices: 80, Late: []Late{{Model: model, After: time.Hour}}})
		for _, d := range plan.Devices {
			if d.Born != time.Hour {
				continue // others of the model live elsewhere in the site, with the same ranges
			}
			instances++
			for _, r := range d.Routines {
				if strings.ContainsAny(r.To, "abcdefghijklmnopqrstuvwxyz") {
					r.To = strings.TrimRight(r.To, "-0123456789") // whichever of a model
				}
				i := slices.IndexFunc(all, func(h Habit) bool {
					return h.Do == r.Do && h.To == r.To && h.Inbound == r.Inbound && h.Port == r.Port && h.State == r.State
				})
				if i < 0 {
					i = len(all)
					all = append(all, Habit{Do: r.Do, To: r.To, Inbound: r.Inbound, Port: r.Port, State: r.State, Rate: r.Rate, Pace: none, Up: none, Down: none, Lasts: none})
				}
				h := &all[i]
				h.Share++
				h.Pace.add(max(r.Every, r.Poisson).Seconds())
				h.Up.add(r.Up.Median)
				h.Down.add(r.Down.Median)
				h.Lasts.add(r.Lasts.Median)
			}
		}
	}
	for i := range all {
		all[i].Share /= float64(max(1, instances))
	}
	return all
}
