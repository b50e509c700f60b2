package publish

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"tidemark/anchor/ndjson"
	"tidemark/anchor/txmgr"
)

// Entry is a line of anchors.ndjson: what became of a transaction. The file is
// only ever appended to. The same entry may come twice after a crash.
type Entry struct {
	Time      time.Time      `json:"time"` // of this machine, when it was seen
	What      string         `json:"what"` // "anchor", "open", "deploy", "accept" or "evidence"
	State     string         `json:"state"`
	Size      uint64         `json:"size,omitempty"`
	Root      common.Hash    `json:"root,omitzero"`
	ChainID   uint64         `json:"chain_id"`
	Contract  common.Address `json:"contract,omitzero"`
	Tx        common.Hash    `json:"tx"`
	Nonce     uint64         `json:"nonce"`
	Block     uint64         `json:"block,omitempty"`
	BlockHash common.Hash    `json:"block_hash,omitzero"`
	BlockTime time.Time      `json:"block_time,omitzero"`
	GasUsed   uint64         `json:"gas_used,omitempty"`
}

// States of an Entry beyond those of txmgr.
const (
	Reverted    = "reverted"    // included, and refused by the contract
	Reorganised = "reorganised" // was included, and is no more
)

const historyName = "anchors.ndjson"

// ReadHistory calls yield with each entry in dir, oldest first. A line that a
// crash cut short is skipped.
func ReadHistory(dir string, yield func(Entry)) error {
	err := ndjson.Read(filepath.Join(dir, historyName), func(e Entry) bool { yield(e); return true })
	if err != nil {
		return fmt.Errorf("read anchors: %w", err)
	}
	return nil
}

func openHistory(dir string) (*ndjson.File[Entry], error) {
	h, err := ndjson.Open[Entry](filepath.Join(dir, historyName))
	if err != nil {
		return nil, fmt.Errorf("open anchors: %w", err)
	}
	return h, nil
}

// entryOf describes a transaction as it stands.
func entryOf(tx txmgr.Tx, now time.Time, chainID uint64) Entry {
	e := Entry{
		Time: now.UTC(), What: tx.Label, State: string(tx.State), ChainID: chainID,
		Tx: tx.Attempts[len(tx.Attempts)-1].Hash, Nonce: tx.Nonce,
	}
	if tx.To != nil {
		e.Contract = *tx.To
	}
	if tx.Label == labelAnchor {
		e.Size, e.Root = tx.Target, rootOf(tx.Data)
	}
	if at := tx.At; at != nil {
		e.Tx, e.Block, e.BlockHash, e.BlockTime, e.GasUsed = at.Hash, at.Block, at.BlockHash, at.BlockTime, at.GasUsed
		if !at.OK {
			e.State = Reverted
		}
	}
	return e
}

// rootOf reads the root out of the calldata of anchor(id, size, root, proof) or
// anchorBySig, which begins with the same arguments.
func rootOf(calldata []byte) (root common.Hash) {
	const at = 4 + 32 + 32
	if len(calldata) >= at+32 {
		copy(root[:], calldata[at:])
	}
	return root
}
