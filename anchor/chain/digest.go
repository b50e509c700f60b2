package chain

import (
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// AnchorDigest is what the publisher signs for anchorBySig (EIP-712): the domain
// binds chain and contract, the deadline is the last block time that counts.
func AnchorDigest(chainID uint64, contract common.Address, id [32]byte, size uint64, root [32]byte, deadline time.Time) common.Hash {
	domain := crypto.Keccak256(
		crypto.Keccak256([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")),
		crypto.Keccak256([]byte("Tidemark")), crypto.Keccak256([]byte("1")),
		word(chainID), common.LeftPadBytes(contract[:], 32))
	message := crypto.Keccak256(
		crypto.Keccak256([]byte("Anchor(bytes32 id,uint64 size,bytes32 root,uint256 deadline)")),
		id[:], word(size), root[:], word(uint64(deadline.Unix())))
	return crypto.Keccak256Hash([]byte("\x19\x01"), domain, message)
}

// word is v as the ABI writes it.
func word(v uint64) []byte { return common.BigToHash(new(big.Int).SetUint64(v)).Bytes() }
