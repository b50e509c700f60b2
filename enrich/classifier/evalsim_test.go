package classifier_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tidemark/collector"
	"tidemark/collector/flow"
	"tidemark/enrich"
	"tidemark/enrich/classifier"
	"tidemark/enrich/kind"
	"tidemark/profile/aggregate"
	"tidemark/storage"
)

var (
	simOut  = flag.String("sim", "", "write the evaluation on simulated sites to this `file`")
	simDirs = flag.String("sites", "", "`TITLE=DIR;...` of sites that sitesim generate wrote")
)

// simulated is a device of truth.json.
type simulated struct {
	Name, Class, Model, MAC string
	Addresses               []string
	Seen                    bool
}

// truthOf says which kinds are right for a class of the simulator, and whether it
// is IoT.
func truthOf(d simulated) (kinds []string, iot kind.IoT) {
	switch d.Class {
	case "pc":
		return []string{"computer"}, kind.NotIoT
	case "server":
		return []string{"server"}, kind.NotIoT
	case "phone":
		if d.Model == "voip" {
			return []string{"voip-phone"}, kind.IsIoT
		}
		return []string{"phone"}, kind.NotIoT
	case "hmi":
		return []string{"plc", "computer"}, kind.IsIoT
	case "meter":
		return []string{"energy", "sensor"}, kind.IsIoT
	case "hub":
		return []string{"smart-home", "lock"}, kind.IsIoT
	case "charger", "solar":
		return []string{"energy"}, kind.IsIoT
	case "plug", "light":
		return []string{"smart-home"}, kind.IsIoT
	case "badge-reader":
		return []string{"lock"}, kind.IsIoT
	case "infusion-pump", "monitor", "imaging":
		return []string{"medical"}, kind.IsIoT
	}
	return []string{d.Class}, kind.IsIoT // payment too: that kind came after the first run
}

// TestEvaluation_Simulated runs only when asked, by scripts/eval-devices.sh.
func TestEvaluation_Simulated(t *testing.T) {
	if *simOut == "" {
		t.Skip("asked for by scripts/eval-devices.sh")
	}
	s := newSite(t)
	var b strings.Builder
	b.WriteString("\n## Simulated sites (synthetic)\n\nSites that `sitesim generate` draws from its models; it shares no code or data with the classifier, its domains are reserved\nones (`.example`), which no rule can know, and only MACs are of real makers. F1 counts an answer withheld as missed.\n\n")
	b.WriteString("| Site | Devices | IoT or not: right / abstained / wrong | F1 of IoT | Kind: right / abstained / wrong | Precision of kinds | Macro-F1 of kinds |\n|---|---|---|---|---|---|---|\n")
	var confused []string
	for i, one := range strings.Split(*simDirs, ";") {
		title, dir, _ := strings.Cut(one, "=")
		confused = append(confused, s.simulate(fmt.Sprintf("sim-%d", i), title, dir, &b)...)
	}
	slices.Sort(confused)
	b.WriteString("\nWrong answers, all sites: ")
	if len(confused) == 0 {
		b.WriteString("none")
	}
	b.WriteString(strings.Join(slices.Compact(confused), "; ") + ".\n")
	if err := os.WriteFile(*simOut, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *site) simulate(site, title, dir string, b *strings.Builder) (confused []string) {
	t := s.t
	text, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth struct{ Devices []simulated }
	if err := json.Unmarshal(text, &truth); err != nil {
		t.Fatal(err)
	}
	s.load(site, dir)
	rules, err := kind.Default()
	if err != nil {
		t.Fatal(err)
	}
	c := classifier.New(s.db, classifier.Config{Site: site, Rules: rules, Vendor: enrich.Vendor})
	var ids []uint64
	for _, d := range truth.Devices {
		ids = append(ids, s.idsOf(site, d)...)
	}
	facts, err := c.Facts(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	var score scores
	for _, d := range truth.Devices {
		if !d.Seen || d.Class == "router" {
			continue
		}
		v := kind.Verdict{IoT: kind.IoTUnknown}
		for _, id := range s.idsOf(site, d) {
			if f := facts[id]; f != nil {
				v = rules.Classify(&f.Facts)
				break
			}
		}
		if score.add(d, v) {
			confused = append(confused, fmt.Sprintf("%s as %s%s", d.Model, v.Kind, map[bool]string{true: "", false: string(v.IoT)}[v.Kind != ""]))
		}
	}
	fmt.Fprintf(b, "| %s | %d | %s |\n", title, score.total, score.text())
	t.Logf("%s: %s; wrong: %v", title, score.text(), confused)
	return confused
}

// idsOf are the ids a device may have: by its MAC, or by an address where none
// was exported.
func (s *site) idsOf(site string, d simulated) []uint64 {
	mac, err := net.ParseMAC(d.MAC)
	if err != nil {
		s.t.Fatal(err)
	}
	var n uint64
	for _, o := range mac {
		n = n<<8 | uint64(o)
	}
	ids := []uint64{enrich.DeviceByMAC(site, n)}
	for _, a := range d.Addresses {
		ids = append(ids, enrich.DeviceByAddress(site, 0, netip.AddrFrom16(netip.MustParseAddr(a).As16()).As16()))
	}
	return ids
}

// load stores the exports of a site as a daemon would, batch by batch.
func (s *site) load(site, dir string) {
	t := s.t
	files, err := filepath.Glob(filepath.Join(dir, "slice-*.pcap"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no exports: %v", dir, err)
	}
	slices.Sort(files)
	enricher, err := enrich.New(enrich.Config{Site: site})
	if err != nil {
		t.Fatal(err)
	}
	store := func() {
		b := &s.batch
		for i := range b.Len() {
			b.TimeReceived[i] = time.Now().UnixNano()
		}
		enricher.Apply(b)
		if err := s.db.InsertFlows(t.Context(), testLog, site, s.index, b); err != nil {
			t.Fatal(err)
		}
		for _, block := range aggregate.New().Blocks(testLog, site, s.index, b) {
			if err := s.db.InsertBlock(t.Context(), block.Table, storage.FlowsToken(testLog, s.index), block.Data); err != nil {
				t.Fatal(err)
			}
		}
		s.index++
		b.Reset()
	}
	c, err := collector.New(collector.Config{
		Exporters: []collector.ExporterConfig{{Address: collector.Network{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, Clock: collector.AsExported}},
	}, collector.Deps{
		Log: zerolog.Nop(),
		Handle: func(_ context.Context, b *flow.Batch) error {
			if s.batch.Append(b, 0, b.Len()); s.batch.Len() > 100_000 {
				store()
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Replay(t.Context(), collector.ReplayOptions{Files: files}); err != nil {
		t.Fatal(err)
	}
	if s.batch.Len() > 0 {
		store()
	}
}

// scores counts verdicts against the truth.
type scores struct {
	total                      int
	iotRight, iotNone, iotBad  int
	truePos, falsePos, missed  int // of IoT
	kindRight, kindNone, wrong int
	classes                    map[string]*[3]int // by kind: true positives, false positives, missed
}

// add says whether something about the verdict is wrong.
func (s *scores) add(d simulated, v kind.Verdict) bool {
	kinds, iot := truthOf(d)
	s.total++
	bad := false
	switch v.IoT {
	case iot:
		s.iotRight++
	case kind.IoTUnknown:
		s.iotNone++
	default:
		s.iotBad++
		bad = true
	}
	if v.IoT == kind.IsIoT && iot == kind.IsIoT {
		s.truePos++
	} else if v.IoT == kind.IsIoT {
		s.falsePos++
	} else if iot == kind.IsIoT {
		s.missed++
	}
	if s.classes == nil {
		s.classes = map[string]*[3]int{}
	}
	count := func(class string, i int) {
		if s.classes[class] == nil {
			s.classes[class] = &[3]int{}
		}
		s.classes[class][i]++
	}
	switch {
	case v.Kind == "":
		s.kindNone++
	case slices.Contains(kinds, v.Kind):
		s.kindRight++
		count(kinds[0], 0)
		return bad
	default:
		s.wrong++
		count(v.Kind, 1)
		bad = true
	}
	count(kinds[0], 2)
	return bad
}

func (s *scores) text() string {
	f1 := func(tp, fp, fn int) float64 { return 2 * float64(tp) / float64(max(2*tp+fp+fn, 1)) }
	var macro float64
	for _, class := range slices.Sorted(maps.Keys(s.classes)) {
		c := s.classes[class]
		macro += f1(c[0], c[1], c[2]) / float64(len(s.classes))
	}
	return fmt.Sprintf("%d / %d / %d | %.2f | %d / %d / %d | %.2f | %.2f", s.iotRight, s.iotNone, s.iotBad, f1(s.truePos, s.falsePos, s.missed),
		s.kindRight, s.kindNone, s.wrong, float64(s.kindRight)/float64(max(s.kindRight+s.wrong, 1)), macro)
}
