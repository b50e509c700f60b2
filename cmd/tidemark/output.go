package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
)

// column is one column of a listing: its title and how an item fills it.
type column[T any] struct {
	title string
	kind  columnKind
	cell  func(T) string
}

type columnKind uint8

const (
	left  columnKind = iota
	right            // numbers
	flex             // cut to what the width of the terminal leaves; one in a listing
)

// usualWidth is assumed where there is no terminal: what fits most screens.
const usualWidth = 120

func outputFlag() cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "table", Usage: "table, json, ndjson, csv or markdown"}
}

// list writes items in the form asked for by --output. JSON forms hold the whole
// item; the others the columns.
func list[T any](c *cli.Context, items []T, columns []column[T]) error {
	w := c.App.Writer
	switch format := c.String("output"); format {
	case "json":
		if items == nil {
			items = []T{}
		}
		return writeJSON(w, items)
	case "ndjson":
		enc := json.NewEncoder(w)
		for _, item := range items {
			if err := enc.Encode(item); err != nil {
				return err
			}
		}
		return nil
	case "table", "csv", "markdown":
		if format == "table" {
			columns = fit(w, items, columns)
		}
		t := grid(items, columns)
		switch format {
		case "csv":
			_, err := fmt.Fprintln(w, t.RenderCSV())
			return err
		case "markdown":
			_, err := fmt.Fprintln(w, t.RenderMarkdown())
			return err
		}
		t.SetStyle(tableStyle())
		for line := range strings.Lines(t.Render()) {
			if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
				return err
			}
		}
		return nil
	default:
		return badOutput(format, "table", "json", "ndjson", "csv", "markdown")
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
		return badOutput(format, "table", "json", "ndjson")
	}
}

func badOutput(got string, want ...string) error {
	return usageError{fmt.Errorf("--output: got %q, want one of %s", got, strings.Join(want, ", "))}
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// fit cuts the cells of the flexible column to what the others leave, so that
// no line wraps.
func fit[T any](w io.Writer, items []T, columns []column[T]) []column[T] {
	width := terminalWidth(w)
	if width == 0 {
		width = usualWidth
	}
	out := slices.Clone(columns)
	for i, col := range columns {
		if col.kind == flex {
			room := max(width-taken(items, columns, i), 16)
			out[i].cell = func(item T) string { return shorten(col.cell(item), room) }
		}
	}
	return out
}

// taken is the width of all columns but one, with the gaps between them.
func taken[T any](items []T, columns []column[T], but int) (sum int) {
	for i, col := range columns {
		if i == but {
			continue
		}
		widest := len(col.title)
		for _, item := range items {
			widest = max(widest, utf8.RuneCountInString(col.cell(item)))
		}
		sum += widest + 2
	}
	return sum
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
			row = append(row, printable(col.cell(item)))
		}
		t.AppendRow(row)
	}
	return t
}

// printable takes control characters out of text that came from the network,
// so that a device's name cannot drive the reader's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}

func tableStyle() table.Style {
	s := table.StyleDefault
	s.Options = table.Options{SeparateHeader: false}
	s.Box.PaddingLeft, s.Box.PaddingRight = "", "  "
	s.Format.Header = text.FormatUpper
	return s
}

// terminalWidth is 0 when w is no terminal: then nothing is cut.
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
