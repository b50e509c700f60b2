package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tidemark/cmd/sitesim/internal/export"
	"tidemark/cmd/sitesim/internal/packet"
	"tidemark/cmd/sitesim/internal/splice"
	"tidemark/cmd/sitesim/internal/trial"
)

// onset is when the attacks begin: after six real days, of which five are learned.
const (
	onset   = 6*day + 10*time.Hour
	learned = 5 * day
)

// splices puts every real attack onto a real device, three attacks on three devices a time, exports
// it in two protocols, and first of all the days without any attack.
func (o Options) splices() ([]job, error) {
	if o.Captures == "" {
		return nil, errors.New("no real captures: give --captures, or set TIDEMARK_CAPTURES")
	}
	hosts := splice.Hosts()
	history := sync.OnceValues(func() ([]packet.Train, error) { return splice.History(o.Captures, hosts) })
	taps := []trial.Tap{
		{Protocol: export.NetFlow9, Active: time.Minute, Inactive: 15 * time.Second},
		{Protocol: export.IPFIX, Biflow: true, Active: 5 * time.Minute, Inactive: 15 * time.Second},
	}
	grafts := splice.Grafts()
	var jobs []job
	for t, tap := range taps {
		if o.Short && t > 0 {
			break
		}
		for first := -1; first < len(grafts); first += 3 {
			chosen := map[int]splice.Graft{} // by host
			for i := max(0, first); first >= 0 && i < min(first+3, len(grafts)); i++ {
				chosen[(i+t)%len(hosts)] = grafts[i]
			}
			if first < 0 {
				first = -3
			}
			name := fmt.Sprintf("splice-%s-%02d", tap.Protocol, max(0, first+3))
			jobs = append(jobs, job{name, Splice, rankSplice, func(ctx context.Context) (*Result, error) {
				days, err := history()
				if err != nil {
					return nil, err
				}
				return o.graft(ctx, name, tap, days, hosts, chosen)
			}})
			if o.Short && first >= 0 {
				break
			}
		}
	}
	return jobs, nil
}

// graft replays the history with the chosen attacks.
func (o Options) graft(ctx context.Context, name string, tap trial.Tap, history []packet.Train, hosts []splice.Host, chosen map[int]splice.Graft) (_ *Result, err error) {
	dir, err := os.MkdirTemp("", "tidemark-eval-")
	if err != nil {
		return nil, err
	}
	if !o.Keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	all := slices.Clone(history)
	truth := &trial.Truth{}
	at := splice.Epoch.Add(onset)
	for i, h := range hosts {
		truth.Devices = append(truth.Devices, trial.Device{Name: h.Name, Class: "real", Model: h.Name, MAC: h.MAC.String(), Addresses: []string{h.Addr.String()}, Seen: true})
		g, ok := chosen[i]
		if !ok {
			continue
		}
		attack, err := g.Onto(o.Captures, h, at)
		if err != nil {
			return nil, err
		}
		all = append(all, attack...)
		octets := uint64(0)
		for _, t := range attack {
			octets += t.Octets()
		}
		truth.Attacks = append(truth.Attacks, trial.Attack{Strike: trial.Strike{Attack: g.Name, Device: h.Name}, Start: at, End: time.Unix(0, attack[len(attack)-1].At), Packets: uint64(len(attack)), Octets: octets})
	}
	slices.SortStableFunc(all, func(a, b packet.Train) int { return cmp.Compare(a.At, b.At) })
	split, _ := slices.BinarySearchFunc(all, at.UnixNano(), func(t packet.Train, at int64) int { return cmp.Compare(t.At, at) })
	c, err := newCollector(o.Program, dir, splice.Home, "profile: {learning: 120h}\n")
	if err != nil {
		return nil, err
	}
	r := &Result{Name: name, Kind: Splice, Set: "real", Sampling: 1, Maturity: "learned", Identity: "MAC"}
	d := &design{Kind: Splice, Learned: learned}
	d.config.Start = splice.Epoch
	began := time.Now()
	var before, after []alert
	for i, part := range [][]packet.Train{all[:split], all[split:]} {
		file := filepath.Join(dir, fmt.Sprintf("part-%d.pcap", i))
		if _, err := trial.Export(file, tap, part); err != nil {
			return nil, err
		}
		flows, err := c.replay(ctx, file)
		if err != nil {
			return nil, err
		}
		r.Flows += flows
		if after, err = c.alerts(ctx); err != nil {
			return nil, err
		}
		if i == 0 {
			before = after
		}
	}
	r.Seconds = time.Since(began).Seconds()
	list, err := c.devices(ctx)
	if err != nil {
		return nil, err
	}
	devices := identify(list, truth.Devices)
	d.grafts = map[string][]string{}
	for _, g := range chosen {
		d.grafts[g.Name] = g.Families
	}
	r.Outcomes = d.judge(truth, devices, before, after)
	attacked := func(name string) bool {
		return slices.ContainsFunc(truth.Attacks, func(a trial.Attack) bool { return a.Device == name })
	}
	for _, a := range d.alarms(truth, devices, after) {
		if a.Class == "real" && (!attacked(a.Device) || a.Opened.Before(at.Add(-slack))) {
			r.Alarms = append(r.Alarms, a)
		}
	}
	if len(chosen) == 0 {
		r.DeviceDays = realDays(history, hosts)
	}
	return r, nil
}

// realDays are the days between first and last packet of each device.
func realDays(history []packet.Train, hosts []splice.Host) (days float64) {
	for _, h := range hosts {
		first, last := int64(0), int64(0)
		for _, t := range history {
			if t.Src != h.Addr && t.Dst != h.Addr {
				continue
			}
			if first == 0 {
				first = t.At
			}
			last = t.At
		}
		days += time.Duration(last-first).Hours() / 24
	}
	return days
}
