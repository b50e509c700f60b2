package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tidemark/cmd/sitesim/internal/trial"
)

// collector is the program under test with a data directory of its own.
type collector struct {
	program string
	dir     string
}

// alert is what the program says; it may say more.
type alert struct {
	ID       string    `json:"id"`
	Device   string    `json:"device"`
	Family   string    `json:"family"`
	Families []string  `json:"families"` // if one incident speaks of several
	Also     []string  `json:"also"`     // devices whose incidents it tells of
	Opened   time.Time `json:"opened"`
	Changed  time.Time `json:"changed"`
	Findings uint64    `json:"findings"`
	Risk     int       `json:"risk"`
	Notify   bool      `json:"notify"`
	Expected string    `json:"expected"`
	Observed string    `json:"observed"`
	Text     string    `json:"text"`
	Attack   []string  `json:"attack"`
	Lines    []line    `json:"lines"` // if one incident speaks of several findings
}

// line is one of the things an alert speaks of.
type line struct {
	Family   string    `json:"family"`
	Target   string    `json:"target"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Count    uint64    `json:"count"`
	Score    int       `json:"score"`
	Expected string    `json:"expected"`
	Observed string    `json:"observed"`
	Notified bool      `json:"notified"` // people were told while the alert had it
}

// names are the families an alert speaks of.
func (a *alert) names() []string {
	if len(a.Families) > 0 {
		return a.Families
	}
	return []string{a.Family}
}

// apart makes one alert of each line: an attack is named rightly by what was found
// of it, not by what was said of the device before.
func apart(list []alert) (out []alert) {
	for _, a := range list {
		if len(a.Lines) == 0 {
			out = append(out, a)
		}
		for _, l := range a.Lines {
			one := a
			one.ID, one.Family, one.Families, one.Lines = a.ID+" "+l.Family+" "+l.Target, l.Family, nil, nil
			one.Opened, one.Changed, one.Findings, one.Risk = l.Since, l.Until, l.Count, l.Score
			one.Notify = a.Notify && l.Notified
			out = append(out, one)
		}
	}
	return out
}

// known is a device as the program lists it.
type known struct {
	ID        string   `json:"id"`
	MAC       string   `json:"mac"`
	Addresses []string `json:"addresses"`
}

// newCollector sets up a data directory under dir. more is configuration beside what all trials have.
func newCollector(program, dir, network, more string) (*collector, error) {
	c := &collector{program: program, dir: dir}
	config := fmt.Sprintf("site: eval\nnetworks: [%s]\nledger: {seal: 1s}\nhttp: {listen: \"\"}\nlog: {level: error}\n%s", network, more)
	if err := os.WriteFile(filepath.Join(dir, "tidemark.yaml"), []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("set up collector: %w", err)
	}
	return c, nil
}

// clocks are the keys of a profile by which the operator of a site configures its zone and its
// holidays.
func clocks(c trial.Config, dir string) (string, error) {
	zone, text := "UTC", ""
	for i, e := range c.Episodes {
		switch e.What {
		case "daylight-saving":
			zone = summerZone
		case "holiday":
			text += fmt.Sprintf("BEGIN:VEVENT\r\nUID:%d\r\nDTSTART;VALUE=DATE:%s\r\nEND:VEVENT\r\n", i, c.Start.Add(e.At).UTC().Format("20060102"))
		}
	}
	file := filepath.Join(dir, "holidays.ics")
	if err := os.WriteFile(file, []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"+text+"END:VCALENDAR\r\n"), 0o600); err != nil {
		return "", fmt.Errorf("write calendar: %w", err)
	}
	return fmt.Sprintf("time_zone: %s, calendars: [{file: %s}]", zone, file), nil
}

func (c *collector) run(ctx context.Context, into any, args ...string) error {
	args = append([]string{"--data-dir", filepath.Join(c.dir, "data"), "--config", filepath.Join(c.dir, "tidemark.yaml")}, args...)
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Env = append(os.Environ(), "TIDEMARK_DATA_DIR=", "TIDEMARK_CONFIG=", "TZ=UTC")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := stderr.String()
		return fmt.Errorf("run %s %s: %w: %s", filepath.Base(c.program), strings.Join(args[4:], " "), err, said[max(0, len(said)-500):])
	}
	if text, ok := into.(*string); ok {
		*text = stdout.String()
		return nil
	}
	if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
		return fmt.Errorf("read what %s %s prints: %w", filepath.Base(c.program), strings.Join(args[4:], " "), err)
	}
	return nil
}

// headerOnly is the size of a capture without a packet.
const headerOnly = 24

// replay feeds a capture and returns how many flows it held.
func (c *collector) replay(ctx context.Context, file string) (uint64, error) {
	info, err := os.Stat(file)
	if err != nil || info.Size() <= headerOnly {
		return 0, err
	}
	var account struct {
		Flows uint64 `json:"flows"`
	}
	err = c.run(ctx, &account, "replay", "--no-progress", "--output", "json", file)
	return account.Flows, err
}

func (c *collector) alerts(ctx context.Context) (list []alert, err error) {
	err = c.run(ctx, &list, "alerts", "--all", "--output", "json")
	return list, err
}

func (c *collector) devices(ctx context.Context) (list []known, err error) {
	err = c.run(ctx, &list, "devices", "--output", "json")
	return list, err
}

// examples explains an alert of each family: one in which it speaks loudest if there
// is one, of people who were told before others, and the shortest of these.
func (c *collector) examples(ctx context.Context, list []alert) (map[string]Example, error) {
	best := map[string]alert{}
	rank := func(a alert, family string) int {
		n := len(a.Lines)
		if a.Family != family {
			n += 1000
		}
		if !a.Notify {
			n += 100
		}
		return n
	}
	for _, a := range list {
		for _, family := range a.names() {
			if b, ok := best[family]; !ok || rank(a, family) < rank(b, family) {
				best[family] = a
			}
		}
	}
	m := map[string]Example{}
	for family, a := range best {
		e := Example{Text: a.Text}
		if err := c.run(ctx, &e.Explained, "alerts", "explain", a.ID); err != nil {
			return nil, err
		}
		m[family] = e
	}
	return m, nil
}
