package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// report prints the tables.
func report(w io.Writer, cells []*cell, markdown bool) error {
	first := table{{"", "cookies", "without gate, µs", "floor ÷ without", "gate ÷ without", "gate without isolation ÷ without"}}
	second := table{{"", "cookies", "gate ÷ floor", "gate without isolation ÷ floor", "A/A: floor ÷ floor"}}
	third := table{{"", "cookies", "without gate", "floor", "gate", "gate without isolation", "gate − floor"}}
	for _, c := range cells {
		ratio := func(of, to string) string { return estimateRatio(c.samples[of], c.samples[to]).String() }
		objects := func(variant string) string { return fmt.Sprintf("%.0f", c.allocations[variant]) }
		head := []string{c.protocol, strconv.Itoa(c.cookies)}
		first = append(first, append(head[:2:2],
			fmt.Sprintf("%.0f", estimateMedian(c.samples[withoutGate]).median),
			ratio(floor, withoutGate), ratio(gate, withoutGate), ratio(noIsolations, withoutGate)))
		second = append(second, append(head[:2:2],
			ratio(gate, floor), ratio(noIsolations, floor), ratio(floorAgain, floor)))
		third = append(third, append(head[:2:2],
			objects(withoutGate), objects(floor), objects(gate), objects(noIsolations),
			fmt.Sprintf("%.0f", c.allocations[gate]-c.allocations[floor])))
	}
	rounds := len(cells[0].samples[withoutGate])
	for _, part := range []struct {
		title string
		table table
	}{
		{fmt.Sprintf("CPU time of a request, against the same Caddy without the gate (%d rounds)", rounds), first},
		{"CPU time of a request, against the floor", second},
		{"Objects that a request allocates in the whole process", third},
	} {
		if err := part.table.print(w, part.title, markdown); err != nil {
			return err
		}
	}
	return nil
}

// String is how tables have an estimate.
func (e estimate) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", e.median, e.low, e.high) }

// table is rows of cells, of which the first is the heading.
type table [][]string

func (t table) print(w io.Writer, title string, markdown bool) error {
	if markdown {
		return t.printMarkdown(w, title)
	}
	fmt.Fprintf(w, "%s\n", title)
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range t {
		fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

func (t table) printMarkdown(w io.Writer, title string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n\n", title)
	for i, row := range t {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(row)))
		}
	}
	fmt.Fprintln(&b)
	_, err := io.WriteString(w, b.String())
	return err
}
