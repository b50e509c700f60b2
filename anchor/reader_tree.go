package anchor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tidemark/anchor/merkle"
)

// tree is the tree over the first size header leaves.
func (r *Reader) tree(size uint64) (merkle.Subtree, error) {
	r.mu.RLock()
	have, blocks := r.state.size, r.state.blocks
	r.mu.RUnlock()
	if size > have {
		return nil, fmt.Errorf("read tree of %d headers: the log has %d: %w", size, have, ErrNoBatch)
	}
	return merkle.Stored(blocks, func(begin, end uint64) ([]merkle.Hash, error) {
		headers, err := r.Headers(begin, end)
		leaves := make([]merkle.Hash, len(headers))
		for i := range headers {
			leaves[i] = headers[i].Leaf()
		}
		return leaves, err
	}), nil
}

// Root is the root hash of the first size headers.
func (r *Reader) Root(size uint64) (merkle.Hash, error) {
	tree, err := r.tree(size)
	if err != nil || size == 0 {
		return merkle.Empty(), err
	}
	return tree(0, size)
}

// Inclusion proves that header index is in the log of size headers (RFC 9162,
// Section 2.1.3.1).
func (r *Reader) Inclusion(index, size uint64) ([]merkle.Hash, error) {
	tree, err := r.tree(size)
	if err != nil {
		return nil, err
	}
	return merkle.Inclusion(nil, index, size, tree)
}

// Consistency proves that the log of second headers continues that of first
// (RFC 9162, Section 2.1.4.1). Requires 0 < first < second.
func (r *Reader) Consistency(first, second uint64) ([]merkle.Hash, error) {
	tree, err := r.tree(second)
	if err != nil {
		return nil, err
	}
	return merkle.Consistency(nil, first, second, tree)
}

// Checkpoint returns the last signed checkpoint as it was stored and as read;
// fs.ErrNotExist if none was ever signed.
func (r *Reader) Checkpoint() ([]byte, Checkpoint, error) {
	path := filepath.Join(r.dir, checkpointFile)
	signed, err := os.ReadFile(path)
	if err != nil {
		return nil, Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	c, err := OpenCheckpoint(signed, r.verifier)
	if err != nil {
		return nil, Checkpoint{}, fmt.Errorf("read checkpoint %s: %w", path, err)
	}
	return signed, c, nil
}

// checkCheckpoint compares the log with the last checkpoint it signed and
// returns that, size 0 if there is none. Whoever saw that checkpoint would
// otherwise see a second history under one key. One beyond the end of the log
// is not compared.
func (r *Reader) checkCheckpoint() (Checkpoint, error) {
	_, c, err := r.Checkpoint()
	if errors.Is(err, fs.ErrNotExist) {
		return Checkpoint{}, nil
	} else if err != nil || c.Size > r.Size() {
		return c, err
	}
	root, err := r.Root(c.Size)
	if err == nil && root != c.Root {
		err = r.corrupt(checkpointFile, 0, c.Size-1, fmt.Errorf("the signed root of %d headers is %x, but theirs is %x", c.Size, c.Root, root))
	}
	return c, err
}
