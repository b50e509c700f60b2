package anchor

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Exit codes of commands that verify.
const (
	ExitOK               = 0
	ExitFailed           = 4 // something is not as it was sealed, or the chain says otherwise
	ExitUnreachable      = 5 // chain or database did not answer: nothing decided
	ExitUnanchored       = 6 // consistent, but not or not yet protected by a final block
	ExitOriginNotChecked = 7 // consistent in itself; without a trust file it could all be new
)

// ClockTolerance is how far this machine's clock and a block's time may
// disagree before a time counts as a false claim. Proof-of-stake chains date a
// block by its slot, 12 s apart; L2s up to some minutes off.
const ClockTolerance = 15 * time.Minute

// Class tells a record that was changed from a time that cannot be true.
type Class string

const (
	Integrity Class = "INTEGRITY"
	TimeClaim Class = "TIME-CLAIM"
)

// Kind says what a fault is. The set is closed.
type Kind string

const (
	RowAltered     Kind = "row altered"      // same number of rows, other content
	RowsMissing    Kind = "rows missing"     // fewer rows than sealed
	RowsAdded      Kind = "rows added"       // rows that were never sealed, or are there twice
	BatchMissing   Kind = "batch missing"    // no row of a batch is left, and no retention announced that
	HeaderAltered  Kind = "header altered"   // a header file breaks its own rules or those of the log
	LogRewritten   Kind = "log rewritten"    // the headers are not those that were signed or anchored
	TableAltered   Kind = "table altered"    // exporter table
	NodesAltered   Kind = "nodes altered"    // stored tree nodes: proofs and places suffer, the record does not
	CopyAltered    Kind = "copy altered"     // the table headers says other than the header files
	KeyMissing     Kind = "salt key damaged" // the rows of a batch cannot be hashed
	CheckpointBad  Kind = "checkpoint bad"   // signature or form
	OriginDiffers  Kind = "origin differs"   // another log or key than the trust file names
	ChainDisagrees Kind = "chain disagrees"  // the contract, or which contract
	AlertAltered   Kind = "alert altered"    // the table incidents does not say what the events of the log do
	SiteAltered    Kind = "site altered"     // the column site, which no hash covers, differs from the genesis
	RowsUnreadable Kind = "rows unreadable"  // the table has other columns, or its files are damaged
	EventAltered   Kind = "event altered"    // a body in the table events
	TimeFault      Kind = "time claim"       // any TIME-CLAIM
)

// Fault is one thing that is wrong. A negative or absent place is not known.
type Fault struct {
	Class Class `json:"class"`
	Kind  Kind  `json:"kind"`
	// Batch is the batch concerned, nil if the log as a whole is; LastBatch the
	// last of several that follow each other.
	Batch     *uint64 `json:"batch,omitempty"`
	LastBatch *uint64 `json:"last_batch,omitempty"`
	// Positions [First, Last] hold every row concerned; equal: that very row.
	First *uint32 `json:"first_pos,omitempty"`
	Last  *uint32 `json:"last_pos,omitempty"`
	// Rows are the positions of the rows concerned if it is known which, the
	// first maxRows of them.
	Rows     []uint32 `json:"rows,omitempty"`
	MoreRows uint64   `json:"more_rows,omitempty"`
	Flow     string   `json:"flow,omitempty"` // name of the row, if it is one flow
	Detail   string   `json:"detail"`
	// Proof is what was sealed of the first row's block beside what is there now,
	// if both are known.
	Proof *FaultProof `json:"proof,omitempty"`
}

// FaultProof is the old and the new hash over rows [First, Last]. The path leads
// from the sealed one to the header's root: it is what was anchored, the other
// is not.
type FaultProof struct {
	First     uint32   `json:"first_pos"`
	Last      uint32   `json:"last_pos"`
	Sealed    string   `json:"sealed_node"`
	Found     string   `json:"found_node"`
	Path      []string `json:"path_to_row_root"`
	SealedTag string   `json:"sealed_leaf_begins,omitempty"` // of the first row concerned
	FoundLeaf string   `json:"found_leaf,omitempty"`
}

// maxRows is how many rows a fault lists.
const maxRows = 20

// State says how far a batch is protected by a chain.
type State string

const (
	Finalized  State = "finalized"  // anchored in a final block
	Included   State = "included"   // anchored in a block that a reorg might still replace
	Pending    State = "pending"    // not anchored, sealed within the interval allowed for that
	Unanchored State = "unanchored" // not anchored, and should be
)

// RowState says what became of the rows of a batch.
type RowState string

const (
	Intact     RowState = "intact"
	Faulty     RowState = "FAULTY"
	Pruned     RowState = "pruned" // dropped by a retention that the log announced
	Erased     RowState = "erased" // in part, as the log announced; the rest is intact
	NotChecked RowState = "not checked"
)

// Range is a run of batches with one verdict.
type Range struct {
	First   uint64   `json:"first_batch"`
	Last    uint64   `json:"last_batch"`
	State   State    `json:"state"`
	Content RowState `json:"rows_state"`
	Flows   uint64   `json:"flows"`
	Events  uint64   `json:"events"`
	// Claimed times of the seals, and the least and greatest time from a seal to
	// the block that first anchored it. Present when anchored.
	SealedFrom        string   `json:"sealed_from"`
	SealedTo          string   `json:"sealed_to"`
	AnchoredAfterLow  *float64 `json:"anchored_after_min_seconds,omitempty"`
	AnchoredAfterHigh *float64 `json:"anchored_after_max_seconds,omitempty"`
	// After and Before are the two sides of the time of all batches of the range:
	// the first header names the one block, the other anchored the last.
	After  *BlockTime `json:"recorded_after,omitempty"`
	Before *BlockTime `json:"recorded_before,omitempty"`

	from, to int64
	seen     ChainBlock  // that the first header names
	anchored *ChainBlock // that anchored the last batch, nil if none did
}

// BlockTime is a block of the chain, as evidence of time.
type BlockTime struct {
	Block uint64 `json:"block"`
	Time  string `json:"time"`
}

func (b *ChainBlock) spell() *BlockTime {
	return &BlockTime{b.Number, time.Unix(b.Time, 0).UTC().Format(time.RFC3339)}
}

// ChainReport is what the contract said.
type ChainReport struct {
	ChainID       uint64 `json:"chain_id"`
	Contract      string `json:"contract"`
	ID            string `json:"id"`
	LatestSize    uint64 `json:"latest_size"`
	LatestBlock   uint64 `json:"latest_block"`
	FinalizedSize uint64 `json:"finalized_size"`
	FinalBlock    uint64 `json:"finalized_block"`
	Anchors       int    `json:"anchors"`
}

// Report is what Verify found. Its JSON form is stable.
type Report struct {
	LogID         string       `json:"log_id"`
	Origin        string       `json:"origin"`
	OriginChecked bool         `json:"origin_checked"` // against a trust file
	Development   bool         `json:"development_chain"`
	Warning       string       `json:"warning,omitempty"`
	Size          uint64       `json:"size"` // batches in the log when verification began
	Root          string       `json:"root"`
	Checkpoint    uint64       `json:"checkpoint_size"`
	Chain         *ChainReport `json:"chain,omitempty"`
	Ranges        []Range      `json:"ranges"`
	Removed       []Removal    `json:"removed,omitempty"`
	Faults        []Fault      `json:"faults"`
	MoreFaults    uint64       `json:"more_faults"` // beyond those listed
	Notes         []string     `json:"notes,omitempty"`
	Batches       uint64       `json:"batches_checked"`
	Flows         uint64       `json:"flows_checked"`
	Events        uint64       `json:"events_checked"`
	PrunedBatches uint64       `json:"batches_pruned"`
	OpenBatches   uint64       `json:"batches_open"` // stored and not yet in the log: the collector is at work
	Seconds       float64      `json:"seconds"`

	unreachable bool
}

// ExitCode is the exit code of a command that ends with r.
func (r *Report) ExitCode() int {
	switch {
	case len(r.Faults) > 0:
		return ExitFailed
	case r.unreachable:
		return ExitUnreachable
	case !r.OriginChecked:
		return ExitOriginNotChecked
	case r.Size == 0 || r.Chain == nil || r.Chain.LatestSize == 0:
		return ExitUnanchored
	}
	for _, g := range r.Ranges {
		if g.State == Unanchored && g.Content != NotChecked {
			return ExitUnanchored
		}
	}
	return ExitOK
}

// Verdict is ExitCode in a sentence.
func (r *Report) Verdict() string {
	switch r.ExitCode() {
	case ExitOK:
		return "VERIFIED: every row checked is as it was sealed, and the chain says so"
	case ExitFailed:
		return r.failed()
	case ExitUnreachable:
		return "NOT DECIDED: what was checked is intact, but the chain did not answer"
	case ExitOriginNotChecked:
		return "internally consistent, origin NOT checked: it could all have been made anew; give a trust file"
	}
	return "intact, but NOT ANCHORED in full: nothing outside this machine protects the ranges marked unanchored"
}

func (r *Report) failed() string {
	classes := map[Class]uint64{}
	for _, f := range r.Faults {
		classes[f.Class]++
	}
	said := plural(classes[Integrity], "INTEGRITY fault")
	switch {
	case classes[Integrity] == 0:
		return fmt.Sprintf("FAILED: %s; the record itself is intact", plural(classes[TimeClaim]+r.MoreFaults, "TIME-CLAIM fault"))
	case classes[TimeClaim] > 0:
		said += ", " + plural(classes[TimeClaim], "TIME-CLAIM fault")
	}
	if r.MoreFaults > 0 {
		said += ", " + grouped(r.MoreFaults) + " more"
	}
	return "FAILED: " + said
}

// maxFaults is how many faults a report lists.
const maxFaults = 100

func (r *Report) add(f Fault) {
	if f.Class == "" {
		f.Class = Integrity
	}
	if len(r.Faults) >= 100*maxFaults {
		r.MoreFaults++
		return
	}
	r.Faults = append(r.Faults, f)
}

// sortFaults puts faults of the log first, then by batch, makes one of those that
// say the same of batches in a row, and keeps the first of them.
func (r *Report) sortFaults() {
	slices.SortStableFunc(r.Faults, func(a, b Fault) int {
		x, y := int64(-1), int64(-1)
		if a.Batch != nil {
			x = int64(*a.Batch)
		}
		if b.Batch != nil {
			y = int64(*b.Batch)
		}
		return int(min(max(x-y, -1), 1))
	})
	kept := r.Faults[:0]
	for _, f := range r.Faults {
		if n := len(kept); n == 0 || !kept[n-1].takes(&f) {
			kept = append(kept, f)
		}
	}
	r.Faults = kept
	if n := len(r.Faults); n > maxFaults {
		r.MoreFaults += uint64(n - maxFaults)
		r.Faults = r.Faults[:maxFaults]
	}
}

// takes makes f one with next, which says the same of the following batch, and
// says whether it did. Faults that name rows stay apart.
func (f *Fault) takes(next *Fault) bool {
	if f.Batch == nil || next.Batch == nil || f.Kind != next.Kind || f.First != nil || next.First != nil || next.LastBatch != nil {
		return false
	}
	last := *f.Batch
	if f.LastBatch != nil {
		last = *f.LastBatch
	}
	if *next.Batch != last+1 {
		return false
	}
	if f.LastBatch == nil {
		f.Detail = "the first of them: " + f.Detail
	}
	f.LastBatch = next.Batch
	return true
}

// textWriter writes lines; its first error sticks.
type textWriter struct {
	w   io.Writer
	err error
}

func (t *textWriter) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

// place says where a fault is.
func (f *Fault) place() string {
	switch {
	case f.Batch == nil:
		return "the log"
	case f.LastBatch != nil:
		return fmt.Sprintf("batches %d to %d", *f.Batch, *f.LastBatch)
	case f.First == nil || f.Last == nil:
		return fmt.Sprintf("batch %d", *f.Batch)
	case f.Flow != "":
		return fmt.Sprintf("batch %d, row %d (name %s)", *f.Batch, *f.First, f.Flow)
	case *f.First == *f.Last:
		return fmt.Sprintf("batch %d, row %d", *f.Batch, *f.First)
	case f.MoreRows > 0:
		return fmt.Sprintf("batch %d, rows %s and %d more", *f.Batch, listed(f.Rows), f.MoreRows)
	case len(f.Rows) > 0:
		return fmt.Sprintf("batch %d, rows %s", *f.Batch, listed(f.Rows))
	}
	return fmt.Sprintf("batch %d, one or more of rows %d to %d", *f.Batch, *f.First, *f.Last)
}

func listed(rows []uint32) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(rows), " ", ", "), "[]")
}

// WriteText writes r for a person to read.
func (r *Report) WriteText(w io.Writer) error {
	t := &textWriter{w: w}
	t.line("log         %s", r.LogID)
	t.line("origin      %s%s", r.Origin, map[bool]string{true: " (as the trust file says)", false: " (NOT checked: no trust file)"}[r.OriginChecked])
	t.line("size        %s, root %s", plural(r.Size, "batch"), r.Root)
	if c := r.Chain; c != nil {
		t.line("anchored    %s, %s of them final, by contract %s on chain %d (%s)", plural(c.LatestSize, "batch"), grouped(c.FinalizedSize), c.Contract, c.ChainID, plural(uint64(c.Anchors), "anchor"))
	} else {
		t.line("anchored    no chain was asked")
	}
	t.line("checked     %s and %s in %s, %.1f s", plural(r.Flows, "flow"), plural(r.Events, "event"), plural(r.Batches, "batch"), r.Seconds)
	if r.OpenBatches > 0 {
		t.line("open        %s stored and about to be logged; verify again to cover them", are(r.OpenBatches, "batch"))
	}
	t.line("")
	for i := range r.Ranges {
		if i == maxRanges {
			t.line("  ... and %s", plural(uint64(len(r.Ranges)-i), "more range"))
			break
		}
		r.Ranges[i].write(t)
	}
	for i := range r.Removed {
		r.Removed[i].write(t)
	}
	for i := range r.Faults {
		f := &r.Faults[i]
		t.line("")
		t.line("%s  %s: %s", f.Class, f.Kind, f.place())
		t.line("  %s", f.Detail)
		if i == 0 && f.Proof != nil {
			f.Proof.write(t)
		}
	}
	if r.MoreFaults > 0 {
		t.line("")
		t.line("... and %s", plural(r.MoreFaults, "more fault"))
	}
	for _, n := range r.Notes {
		t.line("")
		t.line("note: %s", n)
	}
	t.line("")
	if r.Warning != "" {
		t.line("%s", r.Warning)
	}
	t.line("%s", r.Verdict())
	return t.err
}

// maxRanges is how many ranges a person is told of.
const maxRanges = 60

func (g *Range) write(t *textWriter) {
	t.line("  %-15s %-11s %-11s %12s flows  sealed %s%s", fmt.Sprintf("%d to %d", g.First, g.Last), g.State, g.Content, grouped(g.Flows), g.span(), g.lag())
	var sides []string
	for name, b := range map[string]*BlockTime{"after": g.After, "before": g.Before} {
		if b != nil {
			sides = append(sides, fmt.Sprintf("%s block %s (%s)", name, grouped(b.Block), b.Time))
		}
	}
	if slices.Sort(sides); len(sides) > 0 {
		t.line("  %15s recorded %s", "", strings.Join(sides, ", "))
	}
}

func (r *Removal) write(t *textWriter) {
	what := plural(r.Flows, "flow")
	if r.Events > 0 {
		what += " and " + plural(r.Events, "event")
	}
	reason := ""
	if r.Reason != "" {
		reason = ": " + r.Reason
	}
	t.line("")
	t.line("%s  %s of batches %d to %d, by %s at %s under the rule %q%s", r.What, what, r.First, r.Last, r.Actor, r.Time, r.Rule, reason)
	t.line("  batch %d announced it before anything was removed", r.Batch)
}

func (p *FaultProof) write(t *textWriter) {
	t.line("  sealed: rows %d to %d hash to %s, %s below the root of the header", p.First, p.Last, p.Sealed, plural(uint64(len(p.Path)), "step"))
	t.line("  now:    they hash to %s", p.Found)
	if p.FoundLeaf != "" && p.SealedTag != "" {
		t.line("          the row itself hashes to %s, and was sealed as %s...", p.FoundLeaf, p.SealedTag)
	}
}

func (g *Range) span() string {
	from, to := time.Unix(0, g.from).UTC(), time.Unix(0, g.to).UTC()
	if from.Format(time.DateOnly) == to.Format(time.DateOnly) {
		return from.Format(time.DateTime) + " to " + to.Format(time.TimeOnly)
	}
	return from.Format(time.DateTime) + " to " + to.Format(time.DateTime)
}

func (g *Range) lag() string {
	if g.AnchoredAfterLow == nil || g.AnchoredAfterHigh == nil {
		return ""
	}
	seconds := func(s float64) time.Duration {
		return time.Duration(s * float64(time.Second)).Round(time.Second)
	}
	low, high := seconds(*g.AnchoredAfterLow), seconds(*g.AnchoredAfterHigh)
	if low < 0 && low >= -2*time.Second { // blocks are dated in whole seconds
		low, high = 0, max(high, 0)
	}
	if low == high {
		return fmt.Sprintf(", anchored %v later", low)
	}
	return fmt.Sprintf(", anchored %v to %v later", low, high)
}

// grouped writes n with a comma between thousands.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural writes n things; noun is one of them.
func plural(n uint64, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "ch"):
		noun += "es"
	default:
		noun += "s"
	}
	return grouped(n) + " " + noun
}

// are writes that n things are.
func are(n uint64, noun string) string {
	if n == 1 {
		return plural(n, noun) + " is"
	}
	return plural(n, noun) + " are"
}
