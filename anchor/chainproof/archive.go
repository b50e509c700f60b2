package chainproof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ethereum/go-ethereum/common"
)

// Archive is a directory of evidence, one file for each anchored size.
type Archive struct {
	Dir string
	// WriteFile replaces a file so that after a crash there is the old content or
	// the new; only Store needs it.
	WriteFile func(path string, b []byte) error
}

// ErrNone means that the archive has no evidence of the size: it was anchored
// before there was an archive, or no node served its block any more.
var ErrNone = errors.New("no chain evidence archived")

func (a Archive) path(size uint64) string {
	return filepath.Join(a.Dir, fmt.Sprintf("%020d.json", size))
}

// Read returns the evidence of the checkpoint of this size, verified, if it is of
// this contract and log; block nil takes it whatever block it is of. ErrNone if
// there is none.
func (a Archive) Read(contract common.Address, id common.Hash, size uint64, block *common.Hash) (*Evidence, Facts, error) {
	e, f, err := a.read(size, block)
	if errors.Is(err, ErrOtherBlock) || err == nil && (e.Contract != contract || e.ID != id || e.Size != size) {
		err = ErrNone // of another chain or of a block that was reorganised away
	}
	if err != nil {
		return nil, Facts{}, fmt.Errorf("evidence of size %d: %w", size, err)
	}
	return e, f, nil
}

func (a Archive) read(size uint64, block *common.Hash) (*Evidence, Facts, error) {
	info, err := os.Stat(a.path(size))
	if errors.Is(err, os.ErrNotExist) {
		return nil, Facts{}, ErrNone
	}
	if err != nil {
		return nil, Facts{}, err
	}
	if info.Size() > MaxEvidence {
		return nil, Facts{}, fmt.Errorf("%w: %d octets, want at most %d", ErrEvidence, info.Size(), MaxEvidence)
	}
	p, err := os.ReadFile(a.path(size))
	if err != nil {
		return nil, Facts{}, err
	}
	e, err := Parse(p)
	if err != nil {
		return nil, Facts{}, err
	}
	f, err := Verify(e, block)
	return e, f, err
}

// Store verifies e and puts it into the archive, in the place of other evidence
// of the same size.
func (a Archive) Store(e *Evidence) error {
	p, err := e.Marshal()
	if err == nil {
		_, err = Verify(e, nil)
	}
	if err == nil {
		err = os.MkdirAll(a.Dir, 0o700)
	}
	if err == nil {
		err = a.WriteFile(a.path(e.Size), p)
	}
	if err != nil {
		return fmt.Errorf("store evidence of size %d: %w", e.Size, err)
	}
	return nil
}
