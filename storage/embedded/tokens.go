package embedded

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// forgetOrphans takes back the deduplication tokens that a killed engine wrote
// down and whose rows it did not store. A MergeTree notes the token of an insert
// just before it names the part; killed between the two, it would take every
// repeat of the insert for done. Both happen under one lock, so only the last
// token of a table can be such. The engine on path must not run.
func forgetOrphans(path string) error {
	logs, err := filepath.Glob(filepath.Join(path, "store", "*", "*", "deduplication_logs"))
	for _, dir := range logs {
		if err == nil {
			err = forgetOrphan(dir)
		}
	}
	if err != nil {
		return fmt.Errorf("check the last insert into each table: %w", err)
	}
	return nil
}

// forgetOrphan does it for the table whose tokens are in dir.
func forgetOrphan(dir string) error {
	name, text, err := newestTokens(dir)
	if err != nil || len(text) == 0 {
		return err
	}
	begin := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	if line := text[begin:]; line[len(line)-1] == '\n' { // else it was cut short, before its part was named
		// "1 <TAB> part <TAB> token": added; operation 2: dropped.
		fields := strings.Split(strings.TrimSuffix(string(line), "\n"), "\t")
		if len(fields) != 3 || fields[0] != "1" {
			return nil
		}
		added, ok := parsePart(fields[1])
		if !ok {
			return nil
		}
		if stored, err := holdsPart(filepath.Dir(dir), added); stored || err != nil {
			return err
		}
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(int64(begin)); err != nil {
		return err
	}
	return f.Sync()
}

// newestTokens returns the file of a table's tokens that was written last, and
// what is in it. A file that was just begun is empty.
func newestTokens(dir string) (name string, text []byte, err error) {
	entries, err := os.ReadDir(dir)
	newest := -1
	for _, e := range entries {
		number, isLog := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".txt"), "deduplication_log_")
		n, wrong := strconv.Atoi(number)
		if !isLog || wrong != nil || n < newest {
			continue
		}
		if info, err := e.Info(); err != nil || info.Size() == 0 {
			continue
		}
		newest, name = n, filepath.Join(dir, e.Name())
	}
	if err != nil || newest < 0 {
		return "", nil, err
	}
	text, err = os.ReadFile(name)
	return name, text, err
}

// part is what the name of a part says: partition_min_max_level[_mutation].
type part struct {
	partition string
	min, max  int64 // numbers of the inserts it is made of
}

func parsePart(name string) (p part, ok bool) {
	fields := strings.Split(name, "_")
	if len(fields) != 4 && len(fields) != 5 {
		return p, false
	}
	p.partition = fields[0]
	var err1, err2 error
	p.min, err1 = strconv.ParseInt(fields[1], 10, 64)
	p.max, err2 = strconv.ParseInt(fields[2], 10, 64)
	return p, err1 == nil && err2 == nil
}

// holdsPart says whether a table has the part, or one that it was merged into.
func holdsPart(table string, p part) (bool, error) {
	entries, err := os.ReadDir(table)
	for _, e := range entries {
		if q, ok := parsePart(e.Name()); ok && q.partition == p.partition && q.min <= p.min && p.max <= q.max {
			return true, nil
		}
	}
	return false, err
}
