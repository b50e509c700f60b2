package anchor

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/binding"
	"tidemark/anchor/merkle"
	"tidemark/collector/flow"
	"tidemark/storage"
)

// The threats to the record, each with the tests that prove the answer. Most are
// told in the files whose parts they test. What other packages prove of a threat
// is named in elsewhere, and must exist.
func TestThreat01_EditOfAnyColumnIsFoundAndNamed(t *testing.T) {
	t.Run("each column", everyHashedColumnMatters)
	t.Run("between columns", changesBetweenTheColumns)
	t.Run("at random", randomEditsThroughTheEngine)
}

func TestThreat02_RowsDeletedInsertedSwappedDuplicated(t *testing.T) {
	rowsDeletedInsertedSwappedDuplicated(t)
}

func TestThreat03_BatchOrHeaderRemovedIsMissing(t *testing.T) { ledgerFilesAltered(t) }

func TestThreat04_RebuiltLogIsNotTheAnchoredOne(t *testing.T) {
	historyRewrittenUnderTheSameKey(t)
}

func TestThreat05_BackDatedAndForwardDatedSealsAreTimeClaims(t *testing.T) {
	claimedBlocksAreAskedOfTheChain(t)
}

func TestThreat06_WithheldAnchorsShow(t *testing.T) { statesFollowTheChain(t) }

// What a compromised collector writes at birth cannot be found in its own log. Two
// collectors on one feed can be compared: rows are equal but for when and where
// they were received.
func TestThreat07_TwoCollectorsOfOneFeedAgreeOnTheRows(t *testing.T) {
	a, b := siteRows(1, 700, testClock), siteRows(1, 700, testClock)
	key := SaltKey([]byte("normalised rows!"))
	root := func(b *flow.Batch) merkle.Hash {
		for i := range b.Len() {
			b.TimeReceived[i] = 0
		}
		leaves := make([]merkle.Hash, b.Len())
		if err := Leaves(leaves, b, key); err != nil {
			t.Fatal(err)
		}
		return merkle.Root(leaves)
	}
	for i := range b.Len() {
		b.TimeReceived[i] += int64(time.Millisecond)
	}
	if root(a) != root(b) {
		t.Error("two collectors of one feed differ")
	}
	b.Bytes[350]--
	if root(a) == root(b) {
		t.Error("a collector that lies of one row does not differ")
	}
}

// A forged datagram cannot be told from a true one, but it counts: the account of
// its exporter, which the header covers, is another.
func TestThreat08_ForgedDatagramsChangeTheAccountInTheHeader(t *testing.T) {
	f := newFixture(t)
	counts := exporterCounts()
	first := f.sealCounted(counts)
	counts[len(counts)-1].Expected += 5 // a sequence number ahead of its time
	second := f.sealCounted(counts)
	f.mustCommit()
	if f.header(first).ExporterTable == f.header(second).ExporterTable {
		t.Error("the header does not cover the account")
	}
	got, err := f.l.Reader().ExporterTable(second)
	if err != nil || !slices.Contains(got, counts[len(counts)-1]) {
		t.Errorf("the account of batch %d is %+v, %v", second, got, err)
	}
}

func (f *fixture) sealCounted(counts []flow.ExporterCount) uint64 {
	f.t.Helper()
	index, err := f.l.Seal(f.t.Context(), nil, counts)
	if err != nil {
		f.t.Fatal(err)
	}
	return index
}

// Who has the publisher's key can only append, and not even that unseen.
func TestThreat09_StolenPublisherKeyCannotRewrite(t *testing.T) {
	s := newSite(t)
	node, anchor := s.onAnvil()
	anchor(5)
	forged := s.leavesOfLog(5)
	forged[3] = merkle.Hash{1}
	if s.steal(node, 7, merkle.Root(append(forged, merkle.Hash{2}, merkle.Hash{3})), nil) {
		t.Fatal("the contract took a history that was rewritten, without proof")
	}
	rewritten := append(slices.Clone(forged), merkle.Hash{2}, merkle.Hash{3})
	proof, err := merkle.Consistency(nil, 5, 7, merkle.Leaves(rewritten))
	if err != nil {
		t.Fatal(err)
	}
	if s.steal(node, 7, merkle.Root(rewritten), proof) {
		t.Fatal("the contract took a history that was rewritten, with the proof of another")
	}
	s.clean("after two attempts")
}

// With both keys a thief can go on in the owner's name; what was anchored before
// stays proven, and the rest is told apart.
func TestThreat10_WithBothKeysStolenTheHonestPastStands(t *testing.T) {
	s := newSite(t)
	node, anchor := s.onAnvil()
	anchor(5)
	junk := append(s.leavesOfLog(5), merkle.Hash{2}, merkle.Hash{3})
	proof, err := merkle.Consistency(nil, 5, 7, merkle.Leaves(junk))
	if err != nil {
		t.Fatal(err)
	}
	if !s.steal(node, 7, merkle.Root(junk), proof) {
		t.Fatal("the contract refused what continues the log")
	}
	node.Mine(5)
	r := s.verify()
	if f := r.has(LogRewritten, -1); f == nil || !strings.Contains(f.Detail, "up to batch 5") {
		t.Errorf("the fork is not found:\n%s", text(r))
	}
	if g := r.Ranges[0]; g.State != Finalized || g.Last != 4 {
		t.Errorf("the honest past is not proven:\n%s", text(r))
	}
}

// A reorganisation takes an anchor out: pending again, and no fault.
func TestThreat11_ReorganisedAnchorIsPendingAgain(t *testing.T) {
	s := newSite(t)
	node, anchor := s.onAnvil()
	node.Mine(2)
	anchor(7)
	if r := s.clean("anchored"); r.Ranges[0].State == Pending {
		t.Fatalf("not anchored:\n%s", text(r))
	}
	node.Call(nil, "anvil_reorg", 1, []any{})
	if r := s.clean("after a reorganisation"); r.Ranges[0].State == Finalized {
		t.Errorf("an anchor that is gone is said to be final:\n%s", text(r))
	}
}

// Whatever a node says of an anchor, if it is not what is in the bundle, the
// bundle does not verify by it.
func TestThreat12_LyingNodeProvesNothing(t *testing.T) {
	for name, lie := range map[string]func(c *toldChain){
		"chain id":    func(c *toldChain) { c.id++ },
		"no such log": func(c *toldChain) { c.log.ID[3] ^= 1 },
		"contract":    func(c *toldChain) { c.log.Contract[3] ^= 1 },
		"root":        func(c *toldChain) { c.anchors[0].Root[3] ^= 1 },
		"size":        func(c *toldChain) { c.anchors[0].Size-- },
		"transaction": func(c *toldChain) { c.anchors[0].Tx[3] ^= 1 },
		"block hash":  func(c *toldChain) { c.anchors[0].Block.Hash[3] ^= 1 },
		"block time":  func(c *toldChain) { c.anchors[0].Block.Time++ },
		"no anchor":   func(c *toldChain) { c.anchors = nil },
		"not final":   func(c *toldChain) { c.final = 1 },
		"seen block":  func(c *toldChain) { c.blocks[41] = ChainBlock{Number: 41, Hash: [32]byte{9}} },
	} {
		b, trust, chain := madeBundle(t)
		e, _, _ := madeEvidence(t)
		lie(chain)
		if code, said := verifyFile(t, bundleFileOf(t, b), trust, chain); code == ExitOK {
			t.Errorf("%s: the bundle is said to be verified:\n%s", name, said)
		}
		if code, said := checkFile(t, evidenceFileOf(t, e), Given{Trust: trust, Chain: chain}); code == ExitOK {
			t.Errorf("%s: the evidence is said to be verified:\n%s", name, said)
		}
	}
}

// The contract cannot be changed or destroyed: its code has no instruction that
// could, and other code at the address is refused.
func TestThreat13_ContractThatCouldBeReplacedIsRefused(t *testing.T) {
	forbidden := map[byte]string{0xf2: "CALLCODE", 0xf4: "DELEGATECALL", 0xff: "SELFDESTRUCT"}
	code := binding.Runtime()
	for i := 0; i < len(code); i++ {
		op := code[i]
		if name, bad := forbidden[op]; bad {
			t.Errorf("octet %d of the contract is %s", i, name)
		}
		if op >= 0x60 && op <= 0x7f { // PUSH1 to PUSH32
			i += int(op - 0x5f)
		}
	}
	s := newSite(t)
	node, anchor := s.onAnvil()
	anchor(7)
	altered := bytes.Clone(code)
	altered[len(altered)-1] ^= 1
	node.Call(nil, "anvil_setCode", common.Address(s.trust.Chain.Contract), "0x"+hex.EncodeToString(altered))
	if r := s.verify(); r.has(ChainDisagrees, -1) == nil || r.ExitCode() != ExitFailed {
		t.Errorf("other code at the contract's address: not found:\n%s", text(r))
	}
}

// One log has one state on the chain: of two writers the second is refused.
func TestThreat14_SplitViewIsRefusedByTheContract(t *testing.T) {
	s := newSite(t)
	node, anchor := s.onAnvil()
	anchor(3)
	other := append(s.leavesOfLog(3), merkle.Hash{7})
	proof, err := merkle.Consistency(nil, 3, 4, merkle.Leaves(other))
	if err != nil {
		t.Fatal(err)
	}
	anchor(4)
	if s.steal(node, 4, merkle.Root(other), proof) {
		t.Error("the contract took two checkpoints of one size")
	}
	s.clean("of the first writer")
}

func TestThreat15_ClockStepsAreFlagged(t *testing.T) { flagsAndTimes(t) }

func TestThreat16_WhatTheEngineDoesNeverAlarms(t *testing.T) {
	t.Run("merges, parts and enrichment", untouchedLogNeverAlarms)
	t.Run("backup and restore", backupAndRestoreNeverAlarm)
}

func TestThreat17_RetentionIsPrunedOnlyIfAnnounced(t *testing.T) {
	announcedRetentionIsPrunedAndOtherwiseMissing(t)
}

// The encoders of schema 1 are frozen: the golden files hold what they write, and
// the text that defines them has one hash.
func TestThreat18_SchemaOneIsFrozen(t *testing.T) {
	const want = "9f37422ae5559a8c8898d7cdc49da440cecc3ef974fad4992faafb97c943abf9"
	if got := fmt.Sprintf("%x", SchemaHash()); got != want {
		t.Errorf("schema_v1.txt has hash %s, want %s: write a schema 2 and leave this one", got, want)
	}
	for _, name := range []string{"row", "header", "event", "exporters", "checkpoint", "sealed"} {
		if _, err := os.Stat(filepath.Join("testdata", name+".golden")); err != nil {
			t.Error(err)
		}
	}
}

func TestThreat19_ErasureLeavesNothingToGuessAndTheRestIntact(t *testing.T) {
	t.Run("the rest", theRestVerifiesAndTheReportSaysWhatIsGone)
	t.Run("tampered", whatIsTamperedInTheRestIsFoundAndNamed)
	t.Run("dictionary", func(t *testing.T) {
		s := newSite(t)
		var rows flow.Batch
		if err := s.db.ReadFlowsRange(t.Context(), storage.Flows, s.log(), bigBatch, 300, 301, &rows); err != nil {
			t.Fatal(err)
		}
		key, err := s.ledger.Reader().SaltKey(bigBatch)
		if err != nil {
			t.Fatal(err)
		}
		s.erase(order())
		e, err := readErased(filepath.Join(s.dir, "ledger"), bigBatch)
		if err != nil {
			t.Fatal(err)
		}
		i, _ := slices.BinarySearch(e.positions, 300)
		// Who knows all but two octets of the address tries all of them, with what
		// salts there are left.
		guess := func(salt [16]byte) bool {
			for n := range 1 << 16 {
				rows.SrcAddr[0][14], rows.SrcAddr[0][15] = byte(n>>8), byte(n)
				p, err := AppendRow(nil, &rows, 0)
				if err != nil {
					t.Fatal(err)
				}
				if LeafHash(p, salt) == e.hashes[i] {
					return true
				}
			}
			return false
		}
		if !guess(key.Salt(300)) {
			t.Error("with its salt the row is not found: the test is wrong")
		}
		if guess([16]byte(e.salts[300*saltSize:])) || guess(SaltKey{}.Salt(300)) {
			t.Error("what is left of the salts is enough to guess the address")
		}
	})
}

func TestThreat20_NothingPassesForAnotherKind(t *testing.T) {
	t.Run("kinds", kindsAreDisjoint)
	// The proof of a header is none of a row, and the other way round.
	b, trust, chain := madeBundle(t)
	header := b.Header.Leaf()
	if err := merkle.VerifyInclusion(uint64(b.Name.Pos), b.Header.Rows, header, b.RowProof, b.Header.RowRoot); err == nil {
		t.Error("a header passes for a row")
	}
	p, err := AppendRow(nil, &b.Row, 0)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := unverifiedCheckpoint(b.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if err := merkle.VerifyInclusion(b.Header.Index, checkpoint.Size, LeafHash(p, b.Salt), b.LogProof, checkpoint.Root); err == nil {
		t.Error("a row passes for a header")
	}
	// CVE-2012-2459: the odd leaf twice is another tree.
	leaves := []merkle.Hash{{1}, {2}, {3}}
	if merkle.Root(leaves) == merkle.Root(append(leaves, merkle.Hash{3})) {
		t.Error("three leaves and four have one root")
	}
	// A bundle of another log.
	other := *trust
	other.Origin, other.LogID = "example.com/other", LogID("example.com/other", trust.Key)
	if code, _ := verifyFile(t, bundleFileOf(t, b), &other, chain); code != ExitFailed {
		t.Errorf("a bundle passes for one of another log: exit code %d", code)
	}
}

func TestThreat21_HugeInputIsRefusedSmall(t *testing.T) {
	e, trust, _ := madeEvidence(t)
	e.Batches[0].Header.Rows = MaxRows
	for name, spoil := range map[string]func(){
		"a proof of many hashes": func() { e.LogProof = make([]merkle.Hash, 100_000) },
		"many notes":             func() { e.Question.Notes = make([]string, 100_000) },
	} {
		spoil()
		p, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if code, _ := checkFile(t, p, Given{Trust: trust}); code == ExitOK {
			t.Errorf("%s: verified", name)
		}
	}
	if _, err := ParseEvidence(make([]byte, MaxEvidence+1)); err == nil {
		t.Error("evidence beyond its bound is read")
	}
	if _, err := ParseBundle(make([]byte, MaxBundle+1)); err == nil {
		t.Error("a bundle beyond its bound is read")
	}
	if _, err := merkle.MultiRoot([]uint64{1 << 63}, make([]merkle.Hash, 1), 1<<64-1, nil); err == nil {
		t.Error("a tree of 2^64 leaves is proven by nothing")
	}
	if err := merkle.VerifyInclusion(0, 1<<64-1, merkle.Hash{}, make([]merkle.Hash, 1000), merkle.Hash{}); err == nil {
		t.Error("a proof of a thousand hashes is read")
	}
}

func TestThreat22_BitFlippedBeforeStoringIsNotAnchored(t *testing.T) {
	t.Run("in memory", flippedBitIsNotAnchored)
	t.Run("on the engine", bitFlippedOnTheWayToTheEngine)
}

func TestThreat23_CrashOrKillAnywhereLosesNothing(t *testing.T) {
	t.Run("every operation", everyOperationMayFail)
	t.Run("kill -9", survivesKill)
}

// elsewhere names the tests of other packages that prove an answer, or a part of it.
var elsewhere = map[int][]string{
	4:  {"publish/refuse_test.go TestPublisher_RewrittenHistoryIsRefusedHereAndByTheContract"},
	8:  {"../cmd/tidemark/e2e_hostile_test.go TestRun_HostileDatagramsAreCountedAndHarmNothing"},
	9:  {"publish/refuse_test.go TestPublisher_AnotherKeyIsRefused"},
	11: {"txmgr/manager_test.go TestManager_ReorgAtAnyDepthEndsInOneInclusion", "publish/publish_test.go TestPublisher_ReorgIsRecordedAndRepaired"},
	12: {"publish/hostile_test.go TestPublisher_LyingNodeCausesErrorsNotDamage", "chain/evidence_test.go TestEvidence_LyingNodeGivesNone"},
	13: {"chain/contract_test.go TestContract_ForeignAndMissingCodeIsRefused"},
	14: {"publish/publish_test.go TestPublisher_TwoWritersOneKey", "witness/witness_test.go Test", "witness_bundle_test.go TestBundle_CosignaturesAreVerifiedIfTheirKeyIsKnown"},
	21: {"bundle_test.go FuzzBundle_AcceptsOnlyItsOneForm", "evidence_test.go FuzzParseEvidence", "merkle/multi_test.go FuzzMultiRoot"},
	24: {"txmgr/anvil_test.go TestAnvil_BaseFeeTimes100IsOutbid", "txmgr/manager_test.go TestManager_EmptyWalletIsRefusedBeforeAnythingIsStored",
		"txmgr/manager_test.go TestManager_NeverPaysMoreThanTheCap", "publish/publish_test.go TestPublisher_ChainAwayLeavesABacklog"},
}

// A dear chain or an empty wallet costs time only: the next anchor covers all.
func TestThreat24_DearChainLeavesABacklogAndOneAnchorCoversIt(t *testing.T) {
	s := newSite(t)
	_, anchor := s.onAnvil()
	anchor(1)
	if r := s.clean("a backlog"); r.Ranges[len(r.Ranges)-1].State != Pending {
		t.Errorf("want the backlog pending:\n%s", text(r))
	}
	anchor(7)
	if r := s.clean("one anchor later"); slices.ContainsFunc(r.Ranges, func(g Range) bool { return g.State != Finalized && g.State != Included }) {
		t.Errorf("one anchor does not cover the backlog:\n%s", text(r))
	}
}

func TestThreats_EveryNamedTestExists(t *testing.T) {
	own, err := os.ReadFile("threats_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 24; n++ {
		if !regexp.MustCompile(fmt.Sprintf(`func TestThreat%02d_`, n)).Match(own) {
			t.Errorf("threat %d has no test", n)
		}
		for _, named := range elsewhere[n] {
			file, name, _ := strings.Cut(named, " ")
			p, err := os.ReadFile(filepath.FromSlash(file))
			if err != nil || !bytes.Contains(p, []byte("func "+name)) {
				t.Errorf("threat %d: %s is not there: %v", n, named, err)
			}
		}
	}
}
