package anchor

import (
	"tidemark/anchor/merkle"
)

// The file tags holds the tag of every leaf of the log, in order: leaf i of a
// batch has its at tagSize * (FirstSeq + i). It tells which rows of a block were
// altered, once the block's root has told that some were. It is no evidence, and
// the log does not need it: a ledger without it, or with zeros in it for batches
// logged by a program that wrote none, is whole.

// tagSize is the number of octets of a tag, the first ones of the leaf hash. An
// altered row keeps its tag once in 65,536 times.
const tagSize = 2

func appendTags(dst []byte, leaves []merkle.Hash) []byte {
	for i := range leaves {
		dst = append(dst, leaves[i][:tagSize]...)
	}
	return dst
}

// tagged says whether leaf has the tag at place i of tags.
func tagged(leaf *merkle.Hash, tags []byte, i int) bool {
	return [tagSize]byte(leaf[:]) == [tagSize]byte(tags[i*tagSize:])
}

// tagsEnd is the length of the file tags of a log that ends with h.
func (h *Header) tagsEnd() int64 { return int64(h.FirstSeq+h.Rows) * tagSize }

// readTags returns the tags of a batch, nil if the ledger has none of it.
func (r *Reader) readTags(h *Header) []byte {
	if r.tags == nil || h.FirstSeq > 1<<48 || h.Rows > MaxRows { // h may have been altered
		return nil
	}
	tags := make([]byte, h.Rows*tagSize)
	if _, err := r.tags.ReadAt(tags, int64(h.FirstSeq)*tagSize); err != nil {
		return nil
	}
	for _, octet := range tags {
		if octet != 0 {
			return tags
		}
	}
	return nil
}
