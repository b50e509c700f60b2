package storage

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// SpoolIndexes lists the batches in the spool at dir, by the names of their
// records. Unlike OpenSpool it changes nothing and may stand beside a daemon.
func SpoolIndexes(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list spool: %w", err)
	}
	var out []uint64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), spoolSuffix); ok {
			if index, err := strconv.ParseUint(name, 10, 64); err == nil {
				out = append(out, index)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}
