package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"spinetrace/store"
)

// reportUnfinished lists what began and has no end (3.9.15).
func reportUnfinished(ctx context.Context, c console, args []string) error {
	r := reporting{name: "unfinished"}
	fs := newFlags("audit report unfinished", "audit report unfinished [flags]\n\nLists what was begun before a deadline and has no end in the journal, the oldest first:\nquestions to the back end without an answer, messages without an answer, and traces that\nwere to follow an answer; audit report work tells which of those are still to be made.\n\n"+aboutPeriods)
	deadline := fs.Duration("deadline", 5*time.Minute, "leave out what was begun within this `time`: it may be in hand")
	if err := r.parse(fs, c, args, "720h"); err != nil {
		return err
	}
	if *deadline < 0 {
		return usageError("--deadline must not be negative")
	}
	return reading(ctx, c, func(db store.Store) error {
		rows, drawn, err := r.unfinished(ctx, db, r.until.Add(-*deadline))
		if err != nil {
			return err
		}
		return showReport(ctx, c, db, r, list[unfinishedRow]{unfinishedColumns, rows, "Everything has an end."}, drawn)
	})
}

// unfinished returns the rows of the report, with one more than are shown if there is one, and the
// chart, which counts what is not shown, too.
func (r reporting) unfinished(ctx context.Context, db store.Audit, deadline time.Time) (rows []unfinishedRow, drawn chart, err error) {
	drawn = newChart("Begun and without an end", "begun on a day")
	for row, err := range unfinished(ctx, db, r.period, deadline) {
		if err != nil {
			return nil, drawn, err
		}
		if len(rows) <= r.most {
			rows = append(rows, row)
		} else if r.chart == "" {
			break
		}
		drawn.add(strings.ToUpper(row.What[:1])+row.What[1:], dayOf(row.Since), 1)
	}
	return rows, drawn, nil
}

// What may have no end.
const (
	endlessQuestion = "question without an answer"
	endlessMessage  = "message without an answer"
	endlessTrace    = "trace without an end"
)

// unfinishedRow is one thing without an end.
type unfinishedRow struct {
	Since     time.Time `json:"since"`
	What      string    `json:"what"`
	Sender    string    `json:"sender,omitempty"`
	ControlID string    `json:"control_id,omitempty"`
	Type      string    `json:"type,omitempty"`
	Operation string    `json:"operation,omitempty"`
	Attempt   int       `json:"attempt,omitempty"`
	Noted     string    `json:"noted,omitempty"` // what the service noted at its next start
	Seq       string    `json:"seq"`
	Exchange  string    `json:"exchange"`
}

var unfinishedColumns = []string{"since", "what", "sender", "control_id", "type", "operation", "attempt", "noted", "seq", "exchange"}

func (r unfinishedRow) values(bool) []string {
	return []string{
		stamp(r.Since), r.What, r.Sender, r.ControlID, r.Type, r.Operation, number(int64(r.Attempt)), r.Noted, r.Seq, r.Exchange,
	}
}

// mostOpen is how many exchanges without an end are kept in memory.
const mostOpen = 200_000

// unfinished yields what began in a period, before a deadline, and has no end, the oldest first.
func unfinished(ctx context.Context, db store.Audit, p period, deadline time.Time) iter.Seq2[unfinishedRow, error] {
	return func(yield func(unfinishedRow, error) bool) {
		open, err := openExchanges(ctx, db, p)
		if err != nil {
			yield(unfinishedRow{}, err)
			return
		}
		for _, id := range sorted(open, func(a, b store.ID) int { return open[a].since.Compare(open[b].since) }) {
			if !open[id].since.Before(deadline) {
				return
			}
			// Told again by the whole story: another chain may hold the end, or a later time.
			story, err := collect(ctx, db, store.Query{Exchange: id}, -1)
			if err != nil {
				yield(unfinishedRow{}, err)
				return
			}
			for _, row := range endless(story, deadline) {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// openExchange is what is known of an exchange that has no end so far.
type openExchange struct {
	since     time.Time
	questions int // less the answers
	ended     bool
}

// openExchanges returns the exchanges of a period that have no end in it. Those that end on the
// way are forgotten, so that only what is in hand at one time, and what stays, takes room.
func openExchanges(ctx context.Context, db store.Audit, p period) (map[store.ID]*openExchange, error) {
	open := make(map[store.ID]*openExchange)
	for e, err := range p.events(ctx, db) {
		if err != nil {
			return nil, err
		}
		x := open[e.Exchange]
		if x == nil && !begins(e.Kind) || !tells(e) {
			continue
		}
		if x == nil {
			x = &openExchange{since: e.At}
			open[e.Exchange] = x
		}
		if x.hear(e); x.ended && x.questions == 0 {
			delete(open, e.Exchange)
		}
		if len(open) > mostOpen {
			return nil, fmt.Errorf("more than %d exchanges have no end: choose a shorter time by --from and --until", mostOpen)
		}
	}
	return open, nil
}

// begins tells the kinds of events that something follows from.
func begins(k store.Kind) bool {
	return k == store.Received || k == store.Exchanged || k == store.Asked
}

// hear adds what an event says.
func (x *openExchange) hear(e store.Event) {
	switch e.Kind {
	case store.Asked:
		x.questions++
	case store.Answered:
		x.questions--
	case store.Exchanged, store.Replied:
		f, err := e.Facts()
		x.ended = err != nil || !goesOn(f)
	case store.Finished:
		x.ended = true
	default:
	}
}

// looseEnds follows a story, and keeps what has no end in it.
type looseEnds struct {
	first          unfinishedRow // what all rows have of their message
	message, trace *unfinishedRow
	questions      map[int]unfinishedRow // by attempt
	noted          string
}

// endless returns what has no end in a whole story, if it began before the deadline.
func endless(story []store.Event, deadline time.Time) []unfinishedRow {
	x := looseEnds{questions: make(map[int]unfinishedRow)}
	for _, e := range story {
		if f, err := e.Facts(); err == nil { // a damaged event is for audit verify to tell of
			x.hear(e, f)
		}
	}
	return slices.DeleteFunc(x.rows(), func(r unfinishedRow) bool { return !r.Since.Before(deadline) })
}

// hear takes the next event of the story.
func (x *looseEnds) hear(e store.Event, f store.Facts) {
	row := x.first
	row.Since, row.Seq, row.Exchange = e.At.UTC(), place{e.Chain, e.Seq}.String(), e.Exchange.String()
	switch e.Kind {
	case store.Received:
		row.What, row.Sender, row.ControlID, row.Type = endlessMessage, senderOf(f), f.ControlID, f.Type
		x.first, x.message = row, &row
	case store.Asked:
		row.What, row.Operation, row.Attempt = endlessQuestion, f.Operation, f.Attempt
		x.questions[f.Attempt] = row
	case store.Answered:
		delete(x.questions, f.Attempt)
	case store.Exchanged, store.Replied:
		x.message, x.trace = nil, nil
		if goesOn(f) {
			row.What, x.trace = endlessTrace, &row
			row.Sender, row.ControlID, row.Type = orFirst(x.first, f)
		}
	case store.Finished:
		x.message, x.trace = nil, nil
	case store.Interrupted:
		x.noted = f.Reason
	default:
	}
}

// rows are the questions in order, then the message or its trace.
func (x *looseEnds) rows() []unfinishedRow {
	var rows []unfinishedRow
	for _, attempt := range sorted(x.questions, func(a, b int) int { return a - b }) {
		rows = append(rows, x.questions[attempt])
	}
	for _, row := range []*unfinishedRow{x.message, x.trace} {
		if row != nil {
			rows = append(rows, *row)
		}
	}
	for i := range rows {
		rows[i].Noted = x.noted
	}
	return rows
}

// orFirst names the message of an answer, which may be the message's own event.
func orFirst(first unfinishedRow, f store.Facts) (sender, controlID, kind string) {
	if first.Exchange == "" {
		return senderOf(f), f.ControlID, f.Type
	}
	return first.Sender, first.ControlID, first.Type
}
