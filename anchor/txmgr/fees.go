package txmgr

import (
	"fmt"
	"math/big"
)

// fees are EIP-1559 fees in wei per gas.
type fees struct{ tip, feeCap *big.Int }

// FeeCapError says that a transaction would cost more than the operator allows.
// It passes: fees fall, and the next anchor covers everything that waited.
type FeeCapError struct{ Need, Cap *big.Int } // wei per gas

func (e *FeeCapError) Error() string {
	return fmt.Sprintf("gas price %s wei is above the cap of %s: waiting for it to fall (raise the cap to go on now)", e.Need, e.Cap)
}

// firstFees chooses fees that stay good while the base fee doubles (six full
// blocks), or as much of it as the cap leaves.
func firstFees(tip, baseFee, limit *big.Int) (fees, error) {
	need := new(big.Int).Add(baseFee, tip)
	if need.Cmp(limit) > 0 {
		return fees{}, &FeeCapError{Need: need, Cap: limit}
	}
	feeCap := need.Add(need, baseFee)
	if feeCap.Cmp(limit) > 0 {
		feeCap = new(big.Int).Set(limit)
	}
	return fees{tip: new(big.Int).Set(tip), feeCap: feeCap}, nil
}

// bumpFees returns fees that replace old ones in a node's pool: nodes want both
// at least 10 % higher. ok is false when the cap leaves no room.
func bumpFees(old fees, tip, baseFee, limit *big.Int) (f fees, ok bool) {
	f.tip = maxBig(raise(old.tip), tip)
	fresh := new(big.Int).Add(baseFee, baseFee)
	fresh.Add(fresh, f.tip)
	least := raise(old.feeCap)
	if least.Cmp(limit) > 0 {
		return fees{}, false
	}
	f.feeCap = minBig(maxBig(least, fresh), limit)
	if f.tip.Cmp(f.feeCap) > 0 { // a tip above the fee cap is not valid
		f.tip = f.feeCap
		if f.tip.Cmp(raise(old.tip)) < 0 {
			return fees{}, false
		}
	}
	return f, true
}

// raise returns v plus one eighth, rounded up, and at least 1 more.
func raise(v *big.Int) *big.Int {
	d := new(big.Int).Add(v, big.NewInt(7))
	d.Rsh(d, 3)
	if d.Sign() == 0 {
		d.SetInt64(1)
	}
	return d.Add(d, v)
}

func maxBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) >= 0 {
		return a
	}
	return b
}

func minBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) <= 0 {
		return a
	}
	return b
}
