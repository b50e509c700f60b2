// Command ouigen makes enrich/oui.gz from the CSV files of the IEEE
// Registration Authority in a directory: ouigen DIR OUT.
package main

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: ouigen DIR OUT")
		os.Exit(2)
	}
	if err := generate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "ouigen:", err)
		os.Exit(1)
	}
}

func generate(dir, out string) error {
	names := map[string]string{}
	// iab before oui36: a block re-assigned as MA-S keeps the later name.
	for _, file := range []string{"oui.csv", "mam.csv", "iab.csv", "oui36.csv"} {
		if err := read(filepath.Join(dir, file), names); err != nil {
			return err
		}
	}
	lines := make([]string, 0, len(names))
	for prefix, name := range names {
		lines = append(lines, prefix+"\t"+name+"\n")
	}
	sort.Strings(lines)
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if _, err := io.WriteString(z, l); err != nil {
			return err
		}
	}
	return errors.Join(z.Close(), f.Close())
}

func read(path string, names map[string]string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	for _, r := range records[1:] {
		name := strings.Join(strings.Fields(r[2]), " ")
		if name == "" || name == "Private" || name == "IEEE Registration Authority" {
			continue // unnamed, or split into longer prefixes
		}
		names[r[1]] = name
	}
	return nil
}
