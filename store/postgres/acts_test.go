package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

// TestActsOfABatch: what commits of one batch do to one item is done in the order of the commits,
// and items come by exchange.
func TestActsOfABatch(t *testing.T) {
	one, two := store.ID{1}, store.ID{2}
	var acts []act
	for _, c := range []store.Commit{
		{Work: []store.Work{{Exchange: two}}, Settled: []store.Settlement{{Exchange: one}}},
		{Work: []store.Work{{Exchange: one}}, Settled: []store.Settlement{{Exchange: two, Again: time.Now()}}},
		{Work: []store.Work{{Exchange: two}, {Exchange: one}}, Settled: []store.Settlement{{Exchange: one, Park: true}}},
	} {
		acts = append(acts, actsOf(c)...)
	}
	columns := make([]array, len(workTarget.columns))
	for i, c := range workTarget.columns {
		columns[i].reset(c.oid)
	}
	encodeActs(columns, acts)
	type step struct {
		Exchange store.ID
		Act      int16
	}
	var got []step
	for _, a := range acts {
		got = append(got, step{a.exchange, a.act})
	}
	want := []step{
		{one, workDone}, {one, addWork}, {one, parkWork}, {one, addWork},
		{two, addWork}, {two, workAgain}, {two, addWork},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("acts (-want +got):\n%s", diff)
	}
}

// TestRowsOfABatch: letters are settled by position and added in the order of the commits, those of a
// commit that was late are not added.
func TestRowsOfABatch(t *testing.T) {
	letter := func(name string) store.Letter { return store.Letter{ControlID: name} }
	dispatch := func(position int64, reason string) store.Dispatch {
		return store.Dispatch{Position: position, State: store.Parked, Reason: reason}
	}
	var rows outboxRows
	for i, c := range []store.Commit{
		{Letters: []store.Letter{letter("c"), letter("b")}, Dispatched: []store.Dispatch{dispatch(2, "1")}},
		{Letters: []store.Letter{letter("late")}, Dispatched: []store.Dispatch{dispatch(1, "2"), dispatch(2, "2")}},
		{Letters: []store.Letter{letter("a")}, Dispatched: []store.Dispatch{dispatch(2, "3"), dispatch(1, "3")}},
	} {
		rows.add(outboxOf(c), []store.Status{store.Kept, store.AlreadyClosed, store.Kept}[i])
	}
	columns := make([]array, len(outboxTarget.columns))
	for i, c := range outboxTarget.columns {
		columns[i].reset(c.oid)
	}
	rows.encode(columns, time.Now())
	for i := range columns {
		if columns[i].n != 8 {
			t.Errorf("column %s has %d values, want one for each of 5 dispatches and 3 letters", outboxTarget.columns[i].name, columns[i].n)
		}
	}
	got := ""
	for _, d := range rows.dispatched {
		got += fmt.Sprint(d.Position, " by ", d.Reason, ", ")
	}
	for _, l := range rows.letters {
		got += l.ControlID
	}
	if want := "1 by 2, 1 by 3, 2 by 1, 2 by 2, 2 by 3, cba"; got != want {
		t.Errorf("rows %s, want %s", got, want)
	}
}
