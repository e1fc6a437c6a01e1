package postgres

import (
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
