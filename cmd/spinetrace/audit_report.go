package main

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"spinetrace/store"
)

// reports are what `audit report` can tell of.
var reports = map[string]action{
	"latency":    reportLatency,
	"looks":      reportLooks,
	"quality":    reportQuality,
	"unfinished": reportUnfinished,
	"untraced":   reportUntraced,
	"volume":     reportVolume,
	"work":       reportWork,
}

// auditReport lists what the journal alone does not show at a glance.
func auditReport(ctx context.Context, c console, args []string) error {
	name, rest := cutAction(args)
	if report, ok := reports[name]; ok {
		return report(ctx, c, rest)
	}
	return usageError("say one of " + strings.Join(slices.Sorted(maps.Keys(reports)), ", "))
}

// reportWork lists the traces that are still to be made.
func reportWork(ctx context.Context, c console, args []string) error {
	var l listing
	fs := newFlags("audit report work", "audit report work [flags]\n\nLists the traces that are still to be made, because their messages were answered first:\nthose that wait, by the time at which they are due, and those that are parked, because\nasking again would not help.")
	if err := l.parse(fs, c, args, 0); err != nil {
		return err
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
	return list[workRow]{workColumns, rows, "No trace is left to be made."}.
		show(ctx, w, db, l, map[string]string{"report": "work"})
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

var workColumns = []string{"due", "state", "why", "attempts", "authority", "local_id", "exchange", "reason"}

func (r workRow) values(bool) []string {
	return []string{r.Due.UTC().Format(time.RFC3339), r.State, r.Why, strconv.Itoa(r.Attempts), r.Authority, r.LocalID, r.Exchange, r.Reason}
}
