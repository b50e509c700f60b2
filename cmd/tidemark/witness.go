package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"tidemark/anchor"
	"tidemark/anchor/witness"
)

func witnessDir(dir string) string { return filepath.Join(dir, "ledger", "witness") }

// openWitnesses prepares the offering of checkpoints; nil: none is configured.
func (d *daemon) openWitnesses() (*witness.Witnesses, error) {
	cfg := d.cfg.Ledger.Witnesses
	if len(cfg) == 0 {
		return nil, nil
	}
	peers := make([]witness.Peer, len(cfg))
	for i, w := range cfg {
		peers[i] = witness.Peer{URL: w.URL, Key: w.Key}
	}
	return witness.New(witnessedLog{d.node.ledger}, witness.Config{
		Dir: witnessDir(d.dir), Peers: peers, Interval: time.Duration(d.cfg.Chain.Interval), Log: d.log, Registerer: d.metrics,
	})
}

// cosign offers checkpoints until ctx ends.
func (d *daemon) cosign(ctx context.Context) error {
	if d.witnesses == nil {
		return nil
	}
	return errors.Join(d.witnesses.Run(ctx), d.witnesses.Close())
}

// witnessTime is how long `anchor now` waits for the witnesses.
const witnessTime = 15 * time.Second

// cosignNow offers the newest checkpoint now. A witness that fails is in the
// status; it keeps nothing from being anchored.
func (d *daemon) cosignNow(ctx context.Context) {
	if d.witnesses == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, witnessTime)
	defer cancel()
	_ = d.witnesses.Offer(ctx) // said by it
}

// witnessedLog shows the ledger to the witnesses.
type witnessedLog struct{ ledger *anchor.Ledger }

func (l witnessedLog) Signed() (uint64, []byte, error) {
	c, signed, err := l.ledger.Checkpoint()
	if errors.Is(err, anchor.ErrNoBatch) {
		err = nil // the genesis is not committed yet
	}
	return c.Size, signed, err
}

func (l witnessedLog) Consistency(first, second uint64) ([][32]byte, error) {
	return l.ledger.Consistency(first, second)
}

// witnessText says what a witness has done for the log.
func witnessText(now time.Time, s witness.Status) string {
	text := s.Name + ": "
	if s.Size == 0 {
		text += "nothing cosigned yet"
	} else {
		text += fmt.Sprintf("%s cosigned %s UTC", plural(s.Size, "batch"), stamp(s.Time))
	}
	switch {
	case s.Refused:
		text += "; REFUSES: " + s.Error
	case s.Error != "":
		text += fmt.Sprintf("; %s (%s)", s.Error, ago(now, s.Failed))
	}
	return text
}
