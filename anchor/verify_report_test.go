package anchor

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func at(n uint64) *uint64    { return &n }
func row32(n uint32) *uint32 { return &n }

func TestReport_FaultsOfBatchesInARowBecomeOne(t *testing.T) {
	r := &Report{}
	for _, batch := range []uint64{9, 7, 8, 11} {
		r.add(Fault{Kind: BatchMissing, Batch: at(batch), Detail: "gone"})
	}
	r.add(Fault{Kind: RowAltered, Batch: at(12), First: row32(0), Last: row32(255)})
	r.add(Fault{Kind: RowAltered, Batch: at(13), First: row32(0), Last: row32(255)})
	r.add(Fault{Kind: RowAltered, Batch: at(14), First: row32(10), Last: row32(20), Rows: []uint32{10, 20}})
	r.add(Fault{Kind: RowsMissing, Batch: at(15), First: row32(1), Last: row32(99), Rows: []uint32{1, 2}, MoreRows: 97})
	r.add(Fault{Kind: RowAltered, Batch: at(16), First: row32(7), Last: row32(7), Rows: []uint32{7}, Flow: "0123-16-7"})
	r.add(Fault{Kind: EventAltered, Batch: at(17), First: row32(7), Last: row32(7), Rows: []uint32{7}})
	r.add(Fault{Kind: LogRewritten})
	r.sortFaults()
	var places []string
	for i := range r.Faults {
		places = append(places, r.Faults[i].place())
	}
	want := "the log; batches 7 to 9; batch 11; batch 12, one or more of rows 0 to 255; batch 13, one or more of rows 0 to 255; " +
		"batch 14, rows 10, 20; batch 15, rows 1, 2 and 97 more; batch 16, row 7 (name 0123-16-7); batch 17, row 7"
	if got := strings.Join(places, "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReport_FaultsAreBounded(t *testing.T) {
	r := &Report{}
	for i := range uint64(30_000) {
		r.add(Fault{Kind: RowAltered, Batch: at(i), First: row32(1), Last: row32(1)})
	}
	r.sortFaults()
	if len(r.Faults) != maxFaults || r.MoreFaults != 30_000-maxFaults || *r.Faults[0].Batch != 0 {
		t.Errorf("%d faults listed, %d more, first of batch %d", len(r.Faults), r.MoreFaults, *r.Faults[0].Batch)
	}
}

func TestReport_ExitCodes(t *testing.T) {
	ok := func() *Report {
		return &Report{OriginChecked: true, Size: 3, Chain: &ChainReport{LatestSize: 2}, Ranges: []Range{{State: Finalized}, {State: Pending}}}
	}
	for name, c := range map[string]struct {
		change func(*Report)
		code   int
	}{
		"all well":                     {func(*Report) {}, ExitOK},
		"a fault":                      {func(r *Report) { r.add(Fault{}); r.unreachable = true }, ExitFailed},
		"chain away":                   {func(r *Report) { r.unreachable, r.OriginChecked = true, false }, ExitUnreachable},
		"no trust":                     {func(r *Report) { r.OriginChecked = false; r.Chain = nil }, ExitOriginNotChecked},
		"no chain":                     {func(r *Report) { r.Chain = nil }, ExitUnanchored},
		"never anchored":               {func(r *Report) { r.Chain.LatestSize = 0 }, ExitUnanchored},
		"empty log":                    {func(r *Report) { r.Size = 0 }, ExitUnanchored},
		"a range that waits too long":  {func(r *Report) { r.Ranges[1].State = Unanchored }, ExitUnanchored},
		"a pruned range, as announced": {func(r *Report) { r.Ranges[0].Content = Pruned }, ExitOK},
	} {
		r := ok()
		c.change(r)
		if got := r.ExitCode(); got != c.code {
			t.Errorf("%s: exit code %d, want %d", name, got, c.code)
		}
		if (r.ExitCode() == ExitOK) != strings.HasPrefix(r.Verdict(), "VERIFIED") {
			t.Errorf("%s: exit code %d, but %q", name, r.ExitCode(), r.Verdict())
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func claimedBlocksAreAskedOfTheChain(t *testing.T) {
	block := ChainBlock{Number: 7, Hash: [32]byte{1}, Time: testClock.Unix()}
	sealed := testClock.Add(time.Minute).UnixNano()
	for name, c := range map[string]struct {
		header Header
		err    error
		fault  string
	}{
		"true":              {Header{EthBlockNumber: 7, EthBlockHash: block.Hash, Sealed: sealed}, nil, ""},
		"none":              {Header{Sealed: sealed}, nil, ""},
		"another hash":      {Header{EthBlockNumber: 7, EthBlockHash: [32]byte{2}, Sealed: sealed}, nil, "claims hash"},
		"of the future":     {Header{EthBlockNumber: 8, EthBlockHash: [32]byte{2}, Sealed: sealed}, nil, "does not have"},
		"back-dated seal":   {Header{EthBlockNumber: 7, EthBlockHash: block.Hash, Sealed: sealed - int64(time.Hour)}, nil, "made"},
		"seal before 1678":  {Header{EthBlockNumber: 7, EthBlockHash: block.Hash, Sealed: -1 << 63}, nil, "made"},
		"chain that is off": {Header{EthBlockNumber: 7, EthBlockHash: block.Hash, Sealed: sealed}, errors.New("off"), ""},
	} {
		v := &verification{report: &Report{}}
		v.Chain = &toldChain{blocks: map[uint64]ChainBlock{7: block}, err: c.err}
		v.claimed = claims{chain: true, blocks: []ethClaim{{batch: 5, header: c.header}}}
		if err := v.checkEthBlocks(context.Background()); err != nil {
			t.Fatal(err)
		}
		switch f := v.report.has(TimeFault, 5); {
		case c.fault == "" && f != nil, c.fault != "" && (f == nil || f.Class != TimeClaim || !strings.Contains(f.Detail, c.fault)):
			t.Errorf("%s: got %+v, want %q", name, f, c.fault)
		case v.report.unreachable != (c.err != nil):
			t.Errorf("%s: unreachable is %v", name, v.report.unreachable)
		}
	}
}
