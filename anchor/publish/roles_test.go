package publish

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/rs/zerolog"

	"tidemark/anchor/binding"
	"tidemark/anchor/chain"
)

// account is a key with ether, or without.
func (w *world) account(role Role, digit string, ether int64) *Key {
	w.Helper()
	k, err := parseKey(role, strings.Repeat(digit, 64))
	if err != nil {
		w.Fatal(err)
	}
	w.node.Fund(k.Address(), ether)
	return k
}

func (w *world) executor(k *Key) Executor {
	return Executor{Client: w.node.Dial(), Key: k, Dir: w.TempDir(), Log: zerolog.Nop()}
}

// TestPayer_PaysForWhatThePublisherSigned: the publisher's account stays empty.
func TestPayer_PaysForWhatThePublisherSigned(t *testing.T) {
	w := newWorld(t)
	w.cfg.Key, w.cfg.Payer = w.account(PublisherRole, "1", 0), w.account(PayerRole, "2", 5)
	w.restart()
	for size := uint64(2); size <= 6; size += 2 {
		w.log.grow(2, 0)
		s := w.until("anchored", anchored(size))
		if s.Publisher != w.cfg.Key.Address() || s.Payer != w.cfg.Payer.Address() || s.Anchored.Root == (common.Hash{}) {
			t.Fatalf("status: %+v", s)
		}
	}
	if st := w.onChain(); st.Size != 6 || st.Seq != 3 || st.Publisher != w.cfg.Key.Address() {
		t.Errorf("contract: %+v", st)
	}
	c := w.node.Dial()
	for account, sent := range map[common.Address]bool{w.cfg.Key.Address(): false, w.cfg.Payer.Address(): true} {
		if n, err := c.Nonce(context.Background(), account); err != nil || (n > 0) != sent {
			t.Errorf("account %s sent %d transactions (%v)", account, n, err)
		}
	}
}

// TestPayer_ExpiredSignatureIsSignedAnew: a transaction waits a day for its block.
func TestPayer_ExpiredSignatureIsSignedAnew(t *testing.T) {
	w := newWorld(t)
	w.cfg.Key, w.cfg.Payer = w.account(PublisherRole, "1", 0), w.account(PayerRole, "2", 5)
	w.restart()
	w.log.grow(2, 0)
	w.until("anchored", anchored(2))
	w.node.Call(nil, "evm_setAutomine", false)
	w.log.grow(2, 0)
	w.skew += time.Hour
	if err := w.step(); err != nil {
		t.Fatal(err)
	}
	w.node.Call(nil, "evm_increaseTime", int((w.skew+2*signatureValidity)/time.Second))
	w.node.Mine(1)
	w.node.Call(nil, "evm_setAutomine", true)
	w.skew += 2 * signatureValidity
	w.until("anchored", anchored(4))
	if got := strings.Join(w.states(), ","); !strings.Contains(got, "anchor reverted 4") {
		t.Errorf("history: %s", got)
	}
}

// TestRotation_TheProposedKeyTakesOver: the old key is stolen; the cold rotator
// names another, which accepts by itself.
func TestRotation_TheProposedKeyTakesOver(t *testing.T) {
	w := newWorld(t)
	old, next, rotator := w.account(PublisherRole, "1", 5), w.account(PublisherRole, "2", 5), w.account(RotatorRole, "3", 1)
	w.cfg.Key, w.cfg.Rotator = old, rotator.Address()
	w.restart()
	w.log.grow(3, 0)
	s := w.until("anchored", anchored(3))
	w.node.Mine(3)
	w.until("final", finalized(3))
	ctx := context.Background()
	if _, err := w.executor(next).Propose(ctx, s.Contract, s.LogKey, next.Address()); !reverted(err, binding.TidemarkLogNotRotatorErrorID()) {
		t.Errorf("somebody proposes himself: %v", err)
	}
	if _, err := w.executor(rotator).Propose(ctx, s.Contract, s.LogKey, next.Address()); err != nil {
		t.Fatal(err)
	}
	w.log.grow(1, 0)
	w.until("the old key stays in office until then", anchored(4))
	w.cfg.Key = next
	w.restart()
	if err := w.p.Check(ctx); err != nil {
		t.Errorf("a proposed key at start: %v", err)
	}
	w.log.grow(1, 0)
	s = w.until("anchored by the new key", anchored(5))
	if st := w.onChain(); st.Publisher != next.Address() || st.Size != 5 || s.Publisher != next.Address() {
		t.Errorf("contract: %+v", st)
	}
	thief := w.twin2(old)
	if err := thief.p.Check(ctx); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "rotate") {
		t.Errorf("the old key: %v", err)
	}
	if _, err := w.executor(old).Accept(ctx, s.Contract, s.LogKey); !reverted(err, binding.TidemarkLogNotProposedErrorID()) {
		t.Errorf("the old key accepts: %v", err)
	}
}

// twin2 is a publisher on the state of w with another key.
func (w *world) twin2(key *Key) *world {
	twin := newWorldOn(w.T, w.node)
	twin.log, twin.skew, twin.cfg.Key = w.log, w.skew, key
	copyFiles(w.T, w.cfg.Dir, twin.cfg.Dir, stateName)
	twin.restart()
	return twin
}

func reverted(err error, id common.Hash) bool {
	var revert *chain.RevertError
	return errors.As(err, &revert) && revert.Refused(id)
}

// follower is a collector whose publisher's key is elsewhere.
func (w *world) follower(id byte, publisher *Key, contract common.Address) *world {
	f := newWorldOn(w.T, w.node)
	f.log = newLog(id)
	f.cfg.Follow, f.cfg.Contract, f.cfg.Rotator = publisher.Address(), contract, common.Address{9}
	f.restart()
	return f
}

func (w *world) request(key *Key) *Request {
	w.Helper()
	s, err := ReadState(w.cfg.Dir)
	if err != nil {
		w.Fatal(err)
	}
	k, err := w.node.Dial().Contract(context.Background(), s.Contract)
	if err != nil {
		w.Fatal(err)
	}
	r, err := NewRequest(context.Background(), w.log, s, k, key, time.Now(), time.Hour)
	if err != nil {
		w.Fatal(err)
	}
	b, err := r.Marshal()
	if err == nil {
		r, err = ParseRequest(b)
	}
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func TestSubmit_ManyLogsInOneTransaction(t *testing.T) {
	w := newWorld(t)
	publisher, payer := w.account(PublisherRole, "1", 5), w.account(PayerRole, "2", 5)
	if err := w.follower(9, publisher, common.Address{}).step(); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "contract") {
		t.Errorf("a follower without a contract: %v", err)
	}
	contract, ctx := w.node.Deploy(), context.Background()
	var sites []*world
	for id := byte(1); id <= 3; id++ {
		f := w.follower(id, publisher, contract)
		f.log.grow(int(id), 0)
		if err := f.step(); !errors.Is(err, ErrFollows) {
			t.Errorf("not open yet: %v", err)
		}
		sites = append(sites, f)
	}
	for range 2 { // the second time the logs are open and have grown
		var requests []*Request
		for _, f := range sites {
			requests = append(requests, f.request(nil))
		}
		if _, err := w.executor(payer).Submit(ctx, requests); err == nil || !strings.Contains(err.Error(), "not signed") {
			t.Errorf("another key submits unsigned requests: %v", err)
		}
		got, err := w.executor(publisher).Submit(ctx, requests)
		if err != nil || len(got) != 1 {
			t.Fatalf("%d transactions, %v, want one", len(got), err)
		}
		for _, f := range sites {
			size, _ := f.log.Checkpoint()
			s := f.until("seen", anchored(size))
			if s.Anchored.Tx != got[0].Hash || s.Backlog != 0 {
				t.Errorf("status: %+v", s)
			}
			f.log.grow(2, 0)
		}
		if _, err := w.executor(publisher).Submit(ctx, requests); err == nil || !strings.Contains(err.Error(), "make it anew") {
			t.Errorf("the same requests again: %v", err)
		}
	}
	// Signed, anybody may pay.
	signed := sites[0].request(publisher)
	if _, err := w.executor(payer).Submit(ctx, []*Request{signed}); err != nil {
		t.Fatal(err)
	}
	size, _ := sites[0].log.Checkpoint()
	sites[0].until("seen", anchored(size))
	sites[0].log.grow(1, 0)
	forged := sites[0].request(publisher)
	forged.Root[0] ^= 1
	if _, err := w.executor(payer).Submit(ctx, []*Request{forged}); err == nil {
		t.Error("a request was altered behind its signature, and anchored")
	}
	if err := sites[0].p.Flush(ctx); !errors.Is(err, ErrFollows) {
		t.Errorf("anchor now on a follower: %v", err)
	}
}
