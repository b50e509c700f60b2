package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/anchor/publish"
	"tidemark/anchor/witness"
)

// proofSources are what proofs of this directory's log are made from, and what
// it says of itself.
type proofSources struct {
	anchor.Sources
	own   *anchor.Trust
	close func()
}

// openProofs opens what proofs are made from; close is the caller's to call.
func (s *store) openProofs(c *cli.Context) (*proofSources, error) {
	own, err := ownTrust(s.dir, s.cfg)
	if err != nil {
		return nil, err
	}
	known, err := remembered(s.dir, own.Chain)
	if err != nil {
		return nil, err
	}
	ledger, err := openLedger(s.dir)
	if err != nil {
		return nil, err
	}
	reader, hangUp, err := chainReader(c, s.cfg, own)
	if err != nil {
		ledger.Close()
		return nil, err
	}
	return &proofSources{own: own, close: func() { hangUp(); ledger.Close() }, Sources: anchor.Sources{
		Ledger: ledger, DB: s.db, Chain: reader, Log: own.Chain, FromBlock: own.FromBlock, Remembered: known,
		Cosigned: func(batch uint64) ([]byte, error) { return witness.Covering(witnessDir(s.dir), batch) },
	}}, nil
}

// remembered are the anchors of log that the publisher of dir saw included, by
// size: where on the chain to look for them.
func remembered(dir string, log *anchor.ChainLog) ([]anchor.ChainAnchor, error) {
	if log == nil {
		return nil, nil
	}
	blocks := map[uint64]uint64{}
	err := publish.ReadHistory(publisherDir(dir), func(e publish.Entry) {
		if e.What == "anchor" && e.Block != 0 && e.ChainID == log.ChainID && e.Contract == common.Address(log.Contract) {
			blocks[e.Size] = e.Block // the last one said of a size holds
		}
	})
	var all []anchor.ChainAnchor
	for _, size := range slices.Sorted(maps.Keys(blocks)) {
		all = append(all, anchor.ChainAnchor{Size: size, Block: anchor.ChainBlock{Number: blocks[size]}})
	}
	return all, err
}

// proofError gives an error of making a proof its exit code.
func proofError(err error) error {
	switch {
	case errors.Is(err, anchor.ErrNoFlow), errors.Is(err, anchor.ErrNoBatch):
		return usageError{fmt.Errorf("%w; `tidemark flows` names what there is", err)}
	case errors.Is(err, anchor.ErrErased):
		return usageError{err}
	case errors.Is(err, anchor.ErrAltered):
		return codedError{exitVerification, err}
	case errors.Is(err, anchor.ErrNotSigned):
		return codedError{exitUnanchored, fmt.Errorf("%w; `tidemark anchor now` anchors it", err)}
	case errors.Is(err, os.ErrNotExist):
		return codedError{exitUnanchored, fmt.Errorf("%w; nothing was signed yet: `tidemark anchor now`", err)}
	case errors.Is(err, anchor.ErrUnreachable):
		return codedError{exitUnreachable, err}
	}
	return err
}
