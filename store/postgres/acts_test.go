package postgres

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

// TestActsOfABatch: what commits of one batch do to one item is done in the order of the commits,
// and items come by key.
func TestActsOfABatch(t *testing.T) {
	one, two := store.PatientKey{LocalID: "1"}, store.PatientKey{LocalID: "2"}
	id := store.NewID()
	var acts []act
	for _, c := range []store.Commit{
		{Work: []store.Work{{Exchange: id, Patient: two}, {Exchange: id}}},
		{Work: []store.Work{{Exchange: id, Patient: one}}, Settled: []store.Settlement{{Exchange: id, Patient: two}}},
		{Work: []store.Work{{Exchange: id, Patient: one}}, Cancel: []store.PatientKey{one, two}},
		{Work: []store.Work{{Exchange: id, Patient: two}}, Settled: []store.Settlement{{Exchange: id, Patient: one, Park: true}}},
	} {
		acts = append(acts, actsOf(c)...)
	}
	columns := make([]array, len(workTarget.columns))
	for i, c := range workTarget.columns {
		columns[i].reset(c.oid)
	}
	encodeActs(columns, acts)
	type step struct {
		LocalID string
		Act     int16
	}
	var got []step
	for _, a := range acts {
		got = append(got, step{a.key.LocalID, a.act})
	}
	want := []step{
		{"", addWork},
		{"1", addWork}, {"1", cancelWork}, {"1", addWork}, {"1", parkWork},
		{"2", addWork}, {"2", workDone}, {"2", cancelWork}, {"2", addWork},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("acts (-want +got):\n%s", diff)
	}
}
