package anchor

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tidemark/anchor/witness"
)

// Given is what the verifier of a bundle or of evidence brings.
type Given struct {
	Trust *Trust      // nil: the origin is not checked
	Chain ChainReader // a node; nil: none is asked
	// Blocks are hashes of blocks known to be of the chain and final, by another
	// way: the proofs in evidence lead there without a node.
	Blocks [][32]byte
	// Witnesses are verified beside those that Trust names.
	Witnesses []*witness.Verifier
}

// proofReport is what the reports of a bundle and of evidence have in common.
type proofReport struct {
	Log           string        `json:"log_id"`
	Origin        string        `json:"origin"`
	OriginChecked bool          `json:"origin_checked"` // against a trust file
	Development   bool          `json:"development_chain"`
	State         State         `json:"state"` // of the anchor
	Witnesses     []Cosignature `json:"witnesses,omitempty"`
	Faults        []Fault       `json:"faults"`

	logID       [32]byte
	unreachable bool
}

// Cosignature is a witness's statement that it saw the checkpoint, which
// continued all that it had seen of the log before.
type Cosignature struct {
	Witness string `json:"witness"`
	// Time is when, by the witness's clock; empty if no key of it was given, and
	// the cosignature therefore not verified.
	Time string `json:"time,omitempty"`
	seen time.Time
}

func newProofReport(t Given) proofReport {
	return proofReport{State: Unanchored, OriginChecked: t.Trust != nil, Faults: []Fault{}}
}

// ExitCode is the exit code of a command that ends with r.
func (r *proofReport) ExitCode() int {
	switch {
	case len(r.Faults) > 0:
		return ExitFailed
	case r.unreachable:
		return ExitUnreachable
	case !r.OriginChecked:
		return ExitOriginNotChecked
	case r.State != Finalized:
		return ExitUnanchored
	}
	return ExitOK
}

func (r *proofReport) fault(kind Kind, batch *uint64, format string, args ...any) {
	f := Fault{Class: Integrity, Kind: kind, Batch: batch, Detail: fmt.Sprintf(format, args...)}
	if kind == TimeFault {
		f.Class = TimeClaim
	}
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, f)
	}
}

// open checks that the log of the trust file signed the checkpoint, and who
// cosigned it. It is false if there is nothing to go on with.
func (r *proofReport) open(logKey string, signed []byte, t Given) (Checkpoint, bool) {
	refuse := func(kind Kind, format string, args ...any) (Checkpoint, bool) {
		r.fault(kind, nil, format, args...)
		return Checkpoint{}, false
	}
	origin, key, err := parseLogKey(logKey)
	if err != nil {
		return refuse(OriginDiffers, "%v", err)
	}
	r.Origin, r.logID = origin, LogID(origin, key)
	r.Log = fmt.Sprintf("%x", r.logID)
	if t.Trust != nil && (!key.Equal(t.Trust.Key) || origin != t.Trust.Origin) {
		return refuse(OriginDiffers, "signed by the key %x of %q, want %x of %q", key, origin, t.Trust.Key, t.Trust.Origin)
	}
	verifier, err := LogVerifier(origin, key)
	if err != nil {
		return refuse(OriginDiffers, "%v", err)
	}
	checkpoint, err := OpenCheckpoint(signed, verifier)
	if err != nil {
		return refuse(CheckpointBad, "%v", err)
	}
	if err := r.openCosignatures(signed, verifier, t); err != nil {
		return refuse(CheckpointBad, "%v", err)
	}
	return checkpoint, true
}

// openCosignatures verifies the cosignatures of witnesses whose key is given.
// A false one is an error; those of others are named.
func (r *proofReport) openCosignatures(signed []byte, log note.Verifier, t Given) error {
	known := append([]note.Verifier(nil), log)
	keys := t.Witnesses
	if t.Trust != nil {
		keys = append(keys[:len(keys):len(keys)], t.Trust.Witnesses...)
	}
	for _, v := range keys {
		if !slices.ContainsFunc(known, func(k note.Verifier) bool { return k.Name() == v.Name() && k.KeyHash() == v.KeyHash() }) {
			known = append(known, v)
		}
	}
	n, err := note.Open(signed, note.VerifierList(known...))
	var forged *note.InvalidSignatureError
	if errors.As(err, &forged) {
		return fmt.Errorf("the cosignature of witness %s is forged", plain(forged.Name))
	} else if err != nil {
		return err
	}
	for _, s := range n.Sigs {
		if s.Name == log.Name() && s.Hash == log.KeyHash() {
			continue
		}
		at, err := witness.Timestamp(s)
		if err != nil {
			return fmt.Errorf("cosignature of witness %s: %w", plain(s.Name), err)
		}
		r.Witnesses = append(r.Witnesses, Cosignature{s.Name, spellTime(at.UnixNano()), at})
	}
	for _, s := range n.UnverifiedSigs {
		r.Witnesses = append(r.Witnesses, Cosignature{Witness: plain(s.Name)})
	}
	return nil
}

// checkHeader checks what a header says of its log against the signed one, and
// that no witness saw the log before the header claims to be sealed.
func (r *proofReport) checkHeader(h *Header) {
	if h.LogID != r.logID {
		r.fault(OriginDiffers, &h.Index, "log id is %x, but origin and key give %x", h.LogID, r.logID)
	}
	if h.SchemaHash != SchemaHash() {
		r.fault(HeaderAltered, &h.Index, "the batch follows schema %x, this program %x", h.SchemaHash, SchemaHash())
	}
	for _, c := range r.Witnesses {
		if early := timeBetween(c.seen.UnixNano(), h.Sealed); c.Time != "" && early > ClockTolerance {
			r.fault(TimeFault, &h.Index, "claims to be sealed %v after witness %s saw it", early, c.Witness)
		}
	}
}

// sameLog checks that an anchor is of the log that trust names.
func (r *proofReport) sameLog(log ChainLog, trust *Trust) bool {
	if trust == nil || log == *trust.Chain {
		return true
	}
	want := trust.Chain
	r.fault(OriginDiffers, nil, "anchored as %x in contract %x of chain %d, want %x in %x of %d", log.ID, log.Contract, log.ChainID, want.ID, want.Contract, want.ChainID)
	return false
}

func (r *proofReport) writeWitnesses(t *textWriter) {
	for _, c := range r.Witnesses {
		if c.Time == "" {
			t.line("witness   %s, not verified: its key was not given", c.Witness)
		} else {
			t.line("witness   %s saw it at %s, by its clock", c.Witness, c.Time)
		}
	}
}
