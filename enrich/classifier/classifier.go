// Package classifier keeps the kind of every device: it reads facts from the
// aggregates and names, has package kind weigh them, and stores verdicts and
// what people decided against them.
package classifier

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tidemark/enrich/kind"
	"tidemark/storage"
)

var (
	//go:embed query/due.sql
	dueSQL string
	//go:embed query/save_kinds.sql
	saveKindsSQL string
	//go:embed query/save_decision.sql
	saveDecisionSQL string
	//go:embed query/kinds.sql
	kindsSQL string
)

// batchSize is how many devices one pass classifies at most: the statements
// name each of them.
const batchSize = 500

// Config is what a Classifier is given.
type Config struct {
	Site   string
	Rules  *kind.Rules
	Vendor func(mac uint64) string // organisation a MAC belongs to, "" if it says nothing
	// Record writes a decision to the ledger before it holds; nil: there is none.
	Record func(ctx context.Context, actor string, body map[string]any) error
	// Without leaves out a source of evidence, for evaluation: its group of rules.
	Without []string
}

// Classifier classifies devices and answers what they are. One goroutine at a
// time may call Update; questions may run beside it.
type Classifier struct {
	db     *storage.DB
	config Config
}

// New does no work.
func New(db *storage.DB, c Config) *Classifier { return &Classifier{db: db, config: c} }

// Kind is what a device is: what people decided, else what the rules said.
type Kind struct {
	Kind        string    `json:"kind"` // id, "" = not known
	Title       string    `json:"title"`
	IoT         kind.IoT  `json:"iot"`
	Probability float64   `json:"probability"` // 1 if decided
	Criticality string    `json:"criticality"` // of the kind
	Said        string    `json:"said"`        // what the rules say, where people decided otherwise
	Classified  time.Time `json:"classified"`  // event time, zero: not yet
	Since       time.Time `json:"since"`       // event time at which the rules came to it
	Actor       string    `json:"actor"`       // who decided, "" = the rules
	Reason      string    `json:"reason"`
	Decided     time.Time `json:"decided"`
}

// Word is the kind in a word or three: "camera", "IoT", "not IoT", "".
func (k Kind) Word() string {
	switch {
	case k.Kind != "":
		return k.Kind
	case k.IoT == kind.IsIoT:
		return "IoT"
	case k.IoT == kind.NotIoT:
		return "not IoT"
	}
	return ""
}

// Kinds returns the kinds of devices, of all that have one if ids is empty.
func (c *Classifier) Kinds(ctx context.Context, ids []uint64) (map[uint64]Kind, error) {
	rows, err := c.db.Conn().Query(c.with(ctx, clickhouse.Parameters{"devices": list(ids)}), kindsSQL)
	if err != nil {
		return nil, fmt.Errorf("read kinds: %w", err)
	}
	defer rows.Close()
	out := map[uint64]Kind{}
	for rows.Next() {
		var id uint64
		var said, iot, decided, actor, reason string
		var probability float32
		var classified, since, at time.Time
		if err := rows.Scan(&id, &said, &iot, &probability, &classified, &since, &decided, &actor, &reason, &at); err != nil {
			return nil, fmt.Errorf("read kinds: %w", err)
		}
		k := Kind{Kind: said, IoT: kind.IoT(iot), Probability: float64(probability), Classified: classified.UTC(), Since: since.UTC()}
		if classified.Unix() <= 0 {
			k.Classified, k.Since, k.IoT = time.Time{}, time.Time{}, kind.IoTUnknown
		}
		if decided != "" {
			k.Kind, k.Said, k.Probability, k.Actor, k.Reason, k.Decided = decided, said, 1, actor, reason, at.UTC()
		}
		if known := c.config.Rules.Kind(k.Kind); known.ID != "" {
			k.Title, k.Criticality, k.IoT = known.Title, known.Criticality, kind.NotIoT
			if known.IoT {
				k.IoT = kind.IsIoT
			}
		}
		out[id] = k
	}
	return out, rows.Err()
}

// Why classifies a device now and says what speaks for it.
func (c *Classifier) Why(ctx context.Context, device uint64) (kind.Verdict, Facts, error) {
	facts, err := c.Facts(ctx, []uint64{device})
	if err != nil {
		return kind.Verdict{}, Facts{}, err
	}
	f := facts[device]
	if f == nil {
		return kind.Verdict{}, Facts{}, fmt.Errorf("device %016x has not sent anything", device)
	}
	return c.classify(f), *f, nil
}

func (c *Classifier) classify(f *Facts) kind.Verdict {
	return c.config.Rules.Classify(&f.Facts)
}

// Decide keeps what a person says a device is: an id of the rules' kinds, or ""
// to go by the rules again. It is an event of the ledger before it holds.
func (c *Classifier) Decide(ctx context.Context, device uint64, id, actor, reason string, at time.Time) error {
	if id != "" && c.config.Rules.Kind(id).ID == "" {
		return fmt.Errorf("decide the kind of device %016x: no kind %q; want one of %s", device, id, strings.Join(c.config.Rules.KindNames(), ", "))
	}
	if c.config.Record != nil {
		body := map[string]any{"site": c.config.Site, "device": fmt.Sprintf("%016x", device), "device_kind": id, "reason": reason}
		if err := c.config.Record(ctx, actor, body); err != nil {
			return fmt.Errorf("decide the kind of device %016x: %w", device, err)
		}
	}
	batch, err := c.db.Conn().PrepareBatch(ctx, saveDecisionSQL)
	if err == nil {
		err = batch.Append(c.config.Site, device, id, actor, reason, at)
	}
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		return fmt.Errorf("decide the kind of device %016x: %w", device, err)
	}
	return nil
}

// due is a device that Update has to look at.
type due struct {
	device uint64
	seen   time.Time
	kind   string
	iot    uint8
	since  time.Time
}

// Update classifies the devices that are due, at most batchSize, and says how
// many these were.
func (c *Classifier) Update(ctx context.Context) (int, error) {
	waiting, err := c.due(ctx)
	if err != nil || len(waiting) == 0 {
		return 0, err
	}
	ids := make([]uint64, len(waiting))
	for i, d := range waiting {
		ids[i] = d.device
	}
	facts, err := c.Facts(ctx, ids)
	if err != nil {
		return 0, fmt.Errorf("classify %d devices: %w", len(ids), err)
	}
	batch, err := c.db.Conn().PrepareBatch(ctx, saveKindsSQL)
	if err != nil {
		return 0, fmt.Errorf("classify %d devices: %w", len(ids), err)
	}
	for _, d := range waiting {
		f := facts[d.device]
		if f == nil {
			f = &Facts{Facts: kind.Facts{Behaviour: kind.NoBehaviour()}}
		}
		v := c.classify(f)
		iot := map[kind.IoT]uint8{kind.IsIoT: 1, kind.NotIoT: 2}[v.IoT]
		since := d.seen
		if d.since.Unix() > 0 && d.kind == v.Kind && d.iot == iot {
			since = d.since
		}
		if err := batch.Append(c.config.Site, d.device, d.seen, v.Kind, string(v.IoT), float32(v.Probability), since, c.config.Rules.Hash()); err != nil {
			return 0, fmt.Errorf("classify device %016x: %w", d.device, err)
		}
	}
	if err := batch.Send(); err != nil {
		return 0, fmt.Errorf("store the kinds of %d devices: %w", len(ids), err)
	}
	return len(waiting), nil
}

func (c *Classifier) due(ctx context.Context) ([]due, error) {
	rows, err := c.db.Conn().Query(c.with(ctx, clickhouse.Parameters{"rules": strconv.FormatUint(c.config.Rules.Hash(), 10), "most": strconv.Itoa(batchSize)}), dueSQL)
	if err != nil {
		return nil, fmt.Errorf("read devices to classify: %w", err)
	}
	defer rows.Close()
	var out []due
	for rows.Next() {
		var d due
		if err := rows.Scan(&d.device, &d.seen, &d.kind, &d.iot, &d.since); err != nil {
			return nil, fmt.Errorf("read devices to classify: %w", err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// with puts the parameters of a statement, and the site, into ctx.
func (c *Classifier) with(ctx context.Context, p clickhouse.Parameters) context.Context {
	p["site"] = c.config.Site
	return clickhouse.Context(ctx, clickhouse.WithParameters(p))
}

// list writes numbers as a parameter of type Array(UInt64).
func list(ids []uint64) string {
	b := []byte{'['}
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, id, 10)
	}
	return string(append(b, ']'))
}

func addressList(addrs []netip.Addr) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, a := range addrs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("'" + netip.AddrFrom16(a.As16()).String() + "'")
	}
	b.WriteByte(']')
	return b.String()
}
