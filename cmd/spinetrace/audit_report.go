package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"spinetrace/store"
)

// reports are what `audit report` can tell of.
var reports = map[string]func(ctx context.Context, c console, args []string) error{
	"work": reportWork,
}

// auditReport lists what the journal alone does not show at a glance.
func auditReport(ctx context.Context, c console, args []string) error {
	name, rest := cutAction(args)
	if report, ok := reports[name]; ok {
		return report(ctx, c, rest)
	}
	return usageError("say one of " + strings.Join(slices.Sorted(maps.Keys(reports)), ", "))
}

// listing is how a report is wanted.
type listing struct {
	json, csv bool
	who       string
	most      int
}

// reportWork lists the traces that are still to be made.
func reportWork(ctx context.Context, c console, args []string) error {
	var l listing
	fs := newFlags("audit report work", "audit report work [flags]\n\nLists the traces that are still to be made, because their messages were answered first:\nthose that wait, by the time at which they are due, and those that are parked, because\nasking again would not help.")
	fs.BoolVar(&l.json, "json", false, "print one JSON object a line")
	fs.BoolVar(&l.csv, "csv", false, "print CSV")
	fs.StringVar(&l.who, "as", osUser(), "`name` of who looks, for the record")
	fs.IntVar(&l.most, "most", 1000, "print at most so many `items`")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if l.who == "" || l.most < 1 || l.json && l.csv {
		return usageError("--as must name who looks, --most be 1 or more, and --json and --csv exclude each other")
	}
	return reading(ctx, c, func(db store.Store) error { return l.work(ctx, c.Out, db) })
}

// workRow is one line of the report.
type workRow struct {
	Due       time.Time  `json:"due"`
	State     string     `json:"state"`
	Why       string     `json:"why"`
	Attempts  int        `json:"attempts"`
	Until     *time.Time `json:"claimed_until,omitempty"`
	Authority string     `json:"authority,omitempty"`
	LocalID   string     `json:"local_id,omitempty"`
	Exchange  string     `json:"exchange"`
	Reason    string     `json:"reason,omitempty"`
}

func (l listing) work(ctx context.Context, w io.Writer, db store.Store) error {
	waiting, err := db.Pending(ctx, false, l.most)
	if err != nil {
		return err
	}
	parked, err := db.Pending(ctx, true, l.most)
	if err != nil {
		return err
	}
	var rows []workRow
	for _, item := range slices.Concat(parked, waiting) {
		rows = append(rows, rowOf(item))
	}
	if err := look(ctx, db, l.who, map[string]string{"report": "work"}, len(rows)); err != nil {
		return err
	}
	switch {
	case l.json:
		return eachJSON(w, rows)
	case l.csv:
		return workCSV(w, rows)
	}
	return workTable(w, rows)
}

func rowOf(w store.Work) workRow {
	row := workRow{
		Due: w.Due, State: "waiting", Why: w.Kind.String(), Attempts: w.Attempt,
		Authority: w.Patient.Authority, LocalID: w.Patient.LocalID, Exchange: w.Exchange.String(), Reason: w.Reason,
	}
	switch {
	case w.Parked:
		row.State = "parked"
	case !w.Until.IsZero():
		row.State, row.Until = "at work", &w.Until
	}
	return row
}

func eachJSON(w io.Writer, rows []workRow) error {
	for _, row := range rows {
		if err := encodeJSON(w, row); err != nil {
			return err
		}
	}
	return nil
}

var workColumns = []string{"due", "state", "why", "attempts", "authority", "local_id", "exchange", "reason"}

func (r workRow) values() []string {
	return []string{r.Due.UTC().Format(time.RFC3339), r.State, r.Why, strconv.Itoa(r.Attempts), r.Authority, r.LocalID, r.Exchange, r.Reason}
}

func workCSV(w io.Writer, rows []workRow) error {
	out := csv.NewWriter(w)
	err := out.Write(workColumns)
	for _, row := range rows {
		err = errors.Join(err, out.Write(row.values()))
	}
	out.Flush()
	return errors.Join(err, out.Error())
}

func workTable(w io.Writer, rows []workRow) error {
	fmt.Fprintln(w, confidential)
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "\nNo trace is left to be made.")
		return err
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(workColumns, "\t"))
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(blanksAsDashes(row.values()), "\t"))
	}
	return table.Flush()
}

// blanksAsDashes makes an empty column visible.
func blanksAsDashes(values []string) []string {
	for i := range values {
		values[i] = cmp.Or(values[i], "-")
	}
	return values
}
