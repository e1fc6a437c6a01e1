package main

import (
	"cmp"
	"context"
	"strings"

	"spinetrace/store"
)

// reportUntraced counts the messages whose patients were not traced.
func reportUntraced(ctx context.Context, c console, args []string) error {
	r := reporting{name: "untraced"}
	fs := newFlags("audit report untraced", "audit report untraced [flags]\n\nCounts the ADT messages whose patients were not traced, by reason and sender, the most\nfrequent first: what to mend at the senders.\n\n"+aboutPeriods)
	if err := r.parse(fs, c, args, "720h"); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error {
		u, err := countUntraced(ctx, db, r.period)
		if err != nil {
			return err
		}
		return showReport(ctx, c, db, r, list[untracedRow]{untracedColumns, u.rows(), "Every patient was traced."}, u.chart())
	})
}

// untracedCount counts messages that were not traced.
type untracedCount struct {
	causes counts[cause]
	days   counts[causeDay]
}

// cause is what messages that were not traced are counted by.
type cause struct{ sender, reason string }

type causeDay struct{ day, reason string }

// countUntraced counts the ADT messages of a period that nobody was asked about.
func countUntraced(ctx context.Context, db store.Audit, p period) (untracedCount, error) {
	u := untracedCount{make(counts[cause]), make(counts[causeDay])}
	err := (&stories{db: db}).each(ctx, p, u.count)
	return u, err
}

func (u untracedCount) count(e store.Event, f store.Facts, m gist) {
	switch e.Kind {
	case store.Exchanged, store.Replied, store.Finished:
	default:
		return
	}
	if f.Outcome != store.NotTraced.String() || !strings.HasPrefix(m.kind, "ADT") {
		return
	}
	day := dayOf(e.At)
	u.causes.add(cause{m.sender, f.Reason}, cause{othersGroup, f.Reason})
	u.days.add(causeDay{day, f.Reason}, causeDay{day, othersGroup})
}

// ordered returns the causes, the most frequent first.
func (u untracedCount) ordered() []cause {
	return sorted(u.causes, mostFirst(u.causes, func(a, b cause) int {
		return cmp.Or(strings.Compare(a.sender, b.sender), strings.Compare(a.reason, b.reason))
	}))
}

// untracedRow is one cause.
type untracedRow struct {
	Reason   string `json:"reason"`
	Sender   string `json:"sender,omitempty"`
	Messages int    `json:"messages"`
}

var untracedColumns = []string{"reason", "sender", "messages"}

func (r untracedRow) values(bool) []string {
	return []string{r.Reason, r.Sender, number(int64(r.Messages))}
}

func (u untracedCount) rows() []untracedRow {
	var rows []untracedRow
	for _, c := range u.ordered() {
		rows = append(rows, untracedRow{c.reason, c.sender, u.causes[c]})
	}
	return rows
}

// chart draws a line for each reason.
func (u untracedCount) chart() chart {
	c := newChart("ADT messages that were not traced, by reason", "messages a day")
	for key, n := range u.days {
		c.add(cmp.Or(key.reason, "(no reason)"), key.day, float64(n))
	}
	return c
}
