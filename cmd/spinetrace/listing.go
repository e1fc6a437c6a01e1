package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
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
	fs.IntVar(&l.most, "most", cmp.Or(l.most, 1000), "print at most so many `rows`")
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
	p := page[R]{list: t}
	if len(t.rows) >= l.most {
		p.more = "there may be more: give a larger --most"
	}
	return p.show(ctx, w, j, l, filters)
}

// page is a list as it is handed out. It says at its end whether it is all there, because a file
// or a print-out can lose its tail.
type page[R row] struct {
	list[R]
	notes  []string // what a reader should know of the rows
	number int      // of the page; 0 is the first, too
	more   string   // where those are that come behind them; "": there are none
}

func (p page[R]) show(ctx context.Context, w io.Writer, j store.Journal, l listing, filters map[string]string) error {
	if err := look(ctx, j, l.who, filters, len(p.rows)); err != nil {
		return err
	}
	switch {
	case l.json:
		return p.json(w)
	case l.csv:
		return p.csv(w, cellFor(w))
	}
	return p.text(w)
}

func (p page[R]) json(w io.Writer) error {
	err := encodeJSON(w, jsonHead{confidential, p.notes})
	for _, r := range p.rows {
		err = errors.Join(err, encodeJSON(w, r))
	}
	return errors.Join(err, encodeJSON(w, p.jsonEnd()))
}

// jsonHead is the first line of what is exported as JSON.
type jsonHead struct {
	Confidentiality string   `json:"confidentiality"`
	Notes           []string `json:"notes,omitempty"`
}

// jsonEnd is the last one. Nobody knows how many pages there are before the last.
type jsonEnd struct {
	Rows     int    `json:"rows"`
	Page     int    `json:"page"`
	Pages    int    `json:"pages,omitempty"`
	Complete bool   `json:"complete"`
	More     string `json:"more,omitempty"`
}

func (p page[R]) jsonEnd() jsonEnd {
	end := jsonEnd{Rows: len(p.rows), Page: max(p.number, 1), Complete: p.more == "", More: p.more}
	if end.Complete {
		end.Pages = end.Page
	}
	return end
}

// csv gives the label and the end a column of their own, so that every line has the same
// number of values and nothing but data is in the other columns.
func (p page[R]) csv(w io.Writer, cell func(string) string) error {
	out := csv.NewWriter(w)
	err := out.Write(append(slices.Clone(p.columns), confidential))
	for _, r := range p.rows {
		var cells []string
		for _, value := range r.values(false) {
			cells = append(cells, cell(value))
		}
		err = errors.Join(err, out.Write(append(cells, "")))
	}
	err = errors.Join(err, out.Write(append(make([]string, len(p.columns)), p.end())))
	out.Flush()
	return errors.Join(err, out.Error())
}

// cellFor returns how a cell is written to w: a file keeps every value, a terminal would obey some.
func cellFor(w io.Writer) func(string) string {
	if isTerminal(w) {
		return func(value string) string { return harmless(printable(value)) }
	}
	return harmless
}

// end is the last line of a page.
func (p page[R]) end() string {
	n, number := len(p.rows), max(p.number, 1)
	if p.more == "" {
		return lastLine(n, number)
	}
	return fmt.Sprintf("row %d of %d, page %d; %s", n, n, number, p.more)
}

// lastLine says that nothing is missing from a page of so many rows, which is the last of so many
// (MSCA-IG-04, 3.17.5).
func lastLine(rows, pages int) string {
	return fmt.Sprintf("row %d of %d, page %d of %d", rows, rows, pages, pages)
}

func (p page[R]) text(w io.Writer) error {
	fmt.Fprintln(w, confidential)
	for _, note := range p.notes {
		fmt.Fprintln(w, "\n"+printableLines(note))
	}
	fmt.Fprintln(w)
	var err error
	if len(p.rows) == 0 {
		_, err = fmt.Fprintln(w, p.none)
	} else {
		err = p.table(w)
	}
	_, said := fmt.Fprintln(w, "\n"+p.end())
	return errors.Join(err, said)
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
