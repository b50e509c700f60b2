package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"tidemark/collector/flow/oneline"
)

// column is one column of a listing: its title and how an item fills it.
type column[T any] struct {
	title string
	kind  columnKind
	cell  func(T) string
	plain func(T) string // for programs (CSV): whole, numbers without separators or unit; nil: as cell
}

type columnKind uint8

const (
	left  columnKind = iota
	right            // numbers
	flex             // cut when lines get too long, the widest first
)

// usualWidth is assumed where there is no terminal: what fits most screens.
const usualWidth = 100

// leastWidth is what a column is never cut below.
const leastWidth = 8

// listForms and pageForms are what --output takes for many things and for one.
var (
	listForms = []string{"table", "json", "ndjson", "csv", "markdown"}
	pageForms = []string{"table", "json", "ndjson"}
)

// outputFlag refuses an unknown form before any work is done.
func outputFlag(forms []string) cli.Flag {
	return &cli.StringFlag{
		Name: "output", Aliases: []string{"o"}, Value: forms[0],
		Usage: "`FORM` is " + strings.Join(forms[:len(forms)-1], ", ") + " or " + forms[len(forms)-1],
		Action: func(_ *cli.Context, got string) error {
			if !slices.Contains(forms, got) {
				return badOutput(got, forms)
			}
			return nil
		},
	}
}

// list writes items in the form asked for by --output. JSON forms hold the whole
// item; the others the columns. Instead of a table without lines stderr says that
// there is none of what the items are.
func list[T any](c *cli.Context, what string, items []T, columns []column[T]) error {
	w := c.App.Writer
	switch format := c.String("output"); format {
	case "json":
		if items == nil {
			items = []T{}
		}
		return writeJSON(w, items)
	case "ndjson":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for _, item := range items {
			if err := enc.Encode(item); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return writeCSV(w, items, columns)
	case "markdown":
		_, err := fmt.Fprintln(w, grid(items, columns).RenderMarkdown())
		return err
	case "table":
		if len(items) == 0 {
			_, err := fmt.Fprintln(c.App.ErrWriter, "no "+what)
			return err
		}
		t := grid(items, fit(w, items, columns))
		t.SetStyle(tableStyle())
		for line := range strings.Lines(t.Render()) {
			if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
				return err
			}
		}
		return nil
	default:
		return badOutput(format, listForms)
	}
}

// page writes one thing: as JSON, or as text made by write.
func page(c *cli.Context, thing any, write func(io.Writer) error) error {
	switch format := c.String("output"); format {
	case "json":
		return writeJSON(c.App.Writer, thing)
	case "ndjson":
		return json.NewEncoder(c.App.Writer).Encode(thing)
	case "table":
		return write(c.App.Writer)
	default:
		return badOutput(format, pageForms)
	}
}

func badOutput(got string, want []string) error {
	return usageError{fmt.Errorf("--output: got %q, want one of %s", got, strings.Join(want, ", "))}
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// fit makes lines as long as the terminal is wide, or usualWidth: it leaves out
// columns that are empty in every line, and cuts the flexible ones.
func fit[T any](w io.Writer, items []T, columns []column[T]) []column[T] {
	room := terminalWidth(w)
	if room == 0 {
		room = usualWidth
	}
	var out []column[T]
	var widths []int
	for _, col := range columns {
		widest := 0
		for _, item := range items {
			widest = max(widest, utf8.RuneCountInString(col.cell(item)))
		}
		if widest == 0 {
			continue
		}
		out, widths = append(out, col), append(widths, max(widest, len(col.title)))
		room -= widths[len(widths)-1] + len(columnGap)
	}
	for room += len(columnGap); room < 0; room++ {
		widest := -1
		for i, col := range out {
			if col.kind == flex && widths[i] > leastWidth && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	for i, col := range out {
		if col.kind == flex {
			out[i].cell = func(item T) string { return shorten(col.cell(item), widths[i]) }
		}
	}
	return out
}

// columnGap stands between two columns of a table.
const columnGap = "  "

func writeCSV[T any](w io.Writer, items []T, columns []column[T]) error {
	out := csv.NewWriter(w)
	record := make([]string, len(columns))
	for i, col := range columns {
		record[i] = col.title
	}
	err := out.Write(record)
	for _, item := range items {
		for i, col := range columns {
			if record[i] = ""; col.plain != nil {
				record[i] = inert(oneLine(col.plain(item)))
			} else {
				record[i] = inert(oneLine(col.cell(item)))
			}
		}
		err = errors.Join(err, out.Write(record))
	}
	out.Flush()
	return errors.Join(err, out.Error())
}

func grid[T any](items []T, columns []column[T]) table.Writer {
	t := table.NewWriter()
	header := table.Row{}
	var configs []table.ColumnConfig
	for i, col := range columns {
		header = append(header, col.title)
		cfg := table.ColumnConfig{Number: i + 1}
		if col.kind == right {
			cfg.Align, cfg.AlignHeader = text.AlignRight, text.AlignRight
		}
		configs = append(configs, cfg)
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, item := range items {
		row := table.Row{}
		for _, col := range columns {
			row = append(row, oneLine(col.cell(item)))
		}
		t.AppendRow(row)
	}
	return t
}

// printable takes out of text that came from the network what would drive the
// reader's terminal or turn the line round: control characters but line ends, and
// marks of direction. A device's name can hold any.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && oneline.Hostile(r) {
			return '�'
		}
		return r
	}, s)
}

// oneLine is printable text for a cell, which must not look like two.
func oneLine(s string) string { return strings.ReplaceAll(printable(s), "\n", " ") }

// inert is a cell of CSV that no spreadsheet takes for a formula: what begins like
// one and is no number gets an apostrophe, which devices import takes off again.
func inert(s string) string {
	if s == "" || len(s) == 1 || !strings.ContainsRune("=+-@", rune(s[0])) {
		return s
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return s
	}
	return "'" + s
}

func tableStyle() table.Style {
	s := table.StyleDefault
	s.Options = table.Options{SeparateHeader: false}
	s.Box.PaddingLeft, s.Box.PaddingRight = "", columnGap
	s.Format.Header = text.FormatUpper
	return s
}

// terminalWidth is 0 when w is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// colours says whether w is a terminal that wants colour (no-color.org).
func colours(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && terminalWidth(w) > 0
}
