package caddymodule

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// table writes rows in aligned columns. Cells are made harmless.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, columns ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(columns...)
	return t
}

func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = harmless(cell)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) end() error { return t.w.Flush() }

// details writes names and values in two columns, without a heading.
func details(w io.Writer, pairs ...string) error {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for i := 0; i < len(pairs); i += 2 {
		t.row(pairs[i], pairs[i+1])
	}
	return t.end()
}

// harmless replaces what a terminal would obey instead of showing it, and what turns the direction
// of text around or cannot be seen. Names and user agents are other people's text.
func harmless(text string) string {
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

// maxCell is how many characters of a long text a table shows.
const maxCell = 48

func shortened(text string) string {
	runes := []rune(text)
	if len(runes) <= maxCell {
		return text
	}
	return string(runes[:maxCell-1]) + "…"
}

// moment writes a time of the API as people at this machine read it.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

// plural is a number of things, as in "1 session" and "2 sessions".
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
