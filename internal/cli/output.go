package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// table writes rows in aligned columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, columns ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = printable(cell)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) end() error { return t.w.Flush() }

// writeDetails writes pairs of name and value in two columns without a heading.
func writeDetails(w io.Writer, pairs ...string) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for i := 0; i < len(pairs); i += 2 {
		t.row(pairs[i], pairs[i+1])
	}
	return t.end()
}

// printable replaces characters that a terminal would obey instead of showing, invisible ones, and
// those that change the direction of text. Names and user agents come from strangers.
func printable(text string) string {
	if text == "" {
		return "-"
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return unicode.ReplacementChar
	}, text)
}

// maxCell is the maximum number of characters of a long text in a table.
const maxCell = 48

func shorten(text string) string {
	runes := []rune(text)
	if len(runes) <= maxCell {
		return text
	}
	return string(runes[:maxCell-1]) + "…"
}

// formatTime formats a time in the machine's time zone, to the minute.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

// plural returns a number with its noun, such as "1 session" and "2 sessions".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
