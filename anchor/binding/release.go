// Package binding is the Go side of the contract in contracts/src: generated
// calls, events and errors (tidemark_log.go), and the code a deployment must
// have. Everything but this file is written by scripts/contracts.sh.
package binding

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

//go:embed TidemarkLog.runtime
var runtimeHex string

// Runtime returns the code of a deployed contract of this release. The contract
// has no immutables, so it is the same at every address on every chain.
func Runtime() []byte {
	code, err := hex.DecodeString(strings.TrimSpace(runtimeHex))
	if err != nil {
		panic(fmt.Sprintf("binding: committed TidemarkLog.runtime: %v", err)) // a broken build, not an input
	}
	return code
}

// CodeHash returns Keccak-256 of Runtime, which is what EXTCODEHASH and
// eth_getProof report.
func CodeHash() common.Hash { return crypto.Keccak256Hash(Runtime()) }

// earlier are the code hashes of earlier builds with the same interface and the
// same rules: logs stay where they were opened. Before an entry is added, its
// source is compared with today's.
func earlier() []common.Hash {
	return []common.Hash{
		// Until 2026-11-22: each hash of a consistency proof by itself, 1 % more gas.
		common.HexToHash("0x3d4f4c1ef64b886ee65ce79cb4eec03ba0c2b7a13934c7d136b9d8b59e4d1426"),
	}
}

// Known tells whether a code hash is that of a contract of ours.
func Known(codeHash common.Hash) bool {
	return codeHash == CodeHash() || slices.Contains(earlier(), codeHash)
}

// AnchoredTopic returns the first topic of the Anchored event.
func AnchoredTopic() common.Hash {
	return crypto.Keccak256Hash([]byte("Anchored(bytes32,uint64,bytes32,uint32,uint64)"))
}
