package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"spinetrace/store"
)

// listing is how a list is wanted.
type listing struct {
	json, csv bool
	who       string
	most      int
}

// parse reads args with the flags that every list has.
func (l *listing) parse(fs *flag.FlagSet, c console, args []string, operands int) error {
	fs.BoolVar(&l.json, "json", false, "print one JSON object a line")
	fs.BoolVar(&l.csv, "csv", false, "print CSV")
	fs.StringVar(&l.who, "as", osUser(), "`name` of who looks, for the record")
	fs.IntVar(&l.most, "most", 1000, "print at most so many `rows`")
	if err := parse(fs, c, args, operands); err != nil {
		return err
	}
	if l.most < 1 || l.json && l.csv {
		return usageError("--most must be 1 or more, and --json and --csv exclude each other")
	}
	return checkWho(l.who, "looks")
}

// row is one line of a list. For a program it is an object, or the same values for CSV.
type row interface {
	// values are in the order of the columns. On screen an NHS number is written 3-3-4.
	values(screen bool) []string
}

// list is a table and the words for it.
type list[R row] struct {
	columns []string
	rows    []R
	none    string // what is said if there are no rows
}

// show records the look, and only then writes the list.
func (t list[R]) show(ctx context.Context, w io.Writer, j store.Journal, l listing, filters map[string]string) error {
	if err := look(ctx, j, l.who, filters, len(t.rows)); err != nil {
		return err
	}
	switch {
	case l.json:
		return t.json(w)
	case l.csv:
		return t.csv(w)
	}
	return t.text(w)
}

func (t list[R]) json(w io.Writer) error {
	for _, r := range t.rows {
		if err := encodeJSON(w, r); err != nil {
			return err
		}
	}
	return nil
}

func (t list[R]) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	err := out.Write(t.columns)
	for _, r := range t.rows {
		err = errors.Join(err, out.Write(r.values(false)))
	}
	out.Flush()
	return errors.Join(err, out.Error())
}

func (t list[R]) text(w io.Writer) error {
	fmt.Fprintln(w, confidential)
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(w, "\n"+t.none)
		return err
	}
	fmt.Fprintln(w)
	return t.table(w)
}

// table writes the rows under their columns; a column that is empty throughout is left out.
func (t list[R]) table(w io.Writer) error {
	lines := [][]string{t.columns}
	for _, r := range t.rows {
		lines = append(lines, r.values(true))
	}
	used := make([]bool, len(t.columns))
	for _, line := range lines[1:] {
		for i, value := range line {
			used[i] = used[i] || value != ""
		}
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(out, strings.Join(cells(line, used), "\t"))
	}
	return out.Flush()
}

// cells are the used values of a line, as a terminal may have them; an empty one is made visible.
func cells(line []string, used []bool) []string {
	var cells []string
	for i, value := range line {
		if used[i] {
			cells = append(cells, cmp.Or(printable(value), "-"))
		}
	}
	return cells
}
