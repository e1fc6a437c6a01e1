package exchange

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
	"spinetrace/store"
)

// TestHowALateTraceEndedCanBeSearched: but for what decided nothing, after which it is made again.
func TestHowALateTraceEndedCanBeSearched(t *testing.T) {
	down := ends(pds.Result{}, &pds.Error{Class: pds.SpineUnavailable, Retry: true})
	for name, tt := range map[string]struct {
		then func() (pds.Result, error)
		want []store.Closing
	}{
		"verified":   {ends(verified, nil), []store.Closing{{Outcome: store.Verified, NHSNumber: "9990000018"}}},
		"no match":   {ends(pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"}, nil), []store.Closing{{Outcome: store.NoMatch}}},
		"refused":    {ends(pds.Result{Outcome: pds.Refused, Code: "SMSP-0001"}, nil), []store.Closing{{Outcome: store.Refused}}},
		"local copy": {ends(local, nil), nil},
		"still down": {down, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, scripted(down, tt.then))
			pass := r.clock()
			r.send(t, adt("A28", primrose))
			pass(backoff[0])
			r.work(t)
			if n := len(r.service.calls()); n != 2 {
				t.Fatalf("asked %d times, want 2", n)
			}
			if diff := cmp.Diff(tt.want, r.journal.late); diff != "" {
				t.Errorf("late ends (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhoAskedCanBeSearched(t *testing.T) {
	r := newRig(t, scripted(ends(verified, nil)))
	r.send(t, strings.Replace(adt("A28", primrose), "EVN||20261122115958", `EVN||20261122115958|||CLERK\T\1^SOMEBODY`, 1))
	r.send(t, strings.Replace(adt("A31", primrose), "PAS0000451", "PAS0000452", 1))
	if _, _, err := r.Trace(context.Background(), "auditor", pds.Request{Want: pds.Verify, NHSNumber: primroseNumber}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range r.journal.opened {
		got = append(got, o.User)
	}
	if diff := cmp.Diff([]string{"CLERK&1", "", "auditor"}, got); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	for _, e := range r.journal.events {
		if e.Kind == store.Received && e.Facts.User == "CLERK&1" {
			return
		}
	}
	t.Error("no event says who asked")
}
