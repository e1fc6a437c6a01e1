package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"spinetrace/store"
)

var readings = map[string]func(*testing.T, Database){
	"finds exchanges by control id, newest first":       testFind,
	"reads a chain from any event on, however long":     testPaging,
	"reads a few events of a chain":                     testFew,
	"reads an exchange across chains, as it happened":   testAcross,
	"reads the heads of all chains":                     testHeads,
	"is done when the reader stops or its context ends": testReaderStops,
	"has nothing to tell of what is not there":          testNothing,
}

func testFind(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	oldest, middle, newest := exchanged("PAS1"), received("PAS1"), received("PAS1")
	oldest.Close.NHSNumber = "9990000034"
	oldest.Open.Claim, middle.Open.Claim, newest.Open.Claim = nil, nil, nil
	for _, c := range []store.Commit{oldest, exchanged("PAS2"), middle, newest} {
		commit(t, s, c)
	}
	commit(t, s, replied(middle.Exchange, "reply"))

	want := func(c store.Commit, seq int64, o store.Outcome, found string) store.Exchange {
		return store.Exchange{
			ID: c.Exchange, Application: "PAS", Facility: "RXX01", ControlID: "PAS1", Type: "ADT^A28^ADT_A05",
			LocalID: "100001", NHSNumber: "9990000018", Outcome: o, NHSFound: found, Chain: "main", Seq: seq,
		}
	}
	all := []store.Exchange{
		want(newest, 4, 0, ""),
		want(middle, 3, store.Traced, "9990000026"),
		want(oldest, 1, store.NotTraced, "9990000034"),
	}
	for _, limit := range []int{1, 2, 3, 10} {
		got, err := s.Search(deadline(t), store.Search{ControlID: "PAS1", Limit: limit})
		if err != nil {
			t.Fatalf("Search() error = %v", err)
		}
		if diff := cmp.Diff(all[:min(limit, 3)], got, cmpopts.IgnoreFields(store.Exchange{}, "At")); diff != "" {
			t.Errorf("Search() with limit %d (-want +got):\n%s", limit, diff)
		}
		first := collect(t, s, store.Query{Chain: "main", From: got[0].Seq})[0]
		if !got[0].At.Equal(first.At) || got[0].At.Location() != time.UTC {
			t.Errorf("Search() time = %v, want that of the first event, %v", got[0].At, first.At)
		}
	}
}

func testPaging(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	const events, commits = 2100, 7
	for range commits {
		var c store.Commit
		for range events / commits {
			c.Entries = append(c.Entries, store.Entry{Kind: store.Warned})
		}
		commit(t, s, c)
	}
	for _, from := range []int64{0, 1, 2, 1000, 1001, events, events + 1} {
		next := max(from, 1)
		for e, err := range s.Events(deadline(t), store.Query{Chain: "main", From: from}) {
			if err != nil {
				t.Fatalf("Events() error = %v", err)
			}
			if e.Seq != next {
				t.Fatalf("from %d: got event %d, want %d", from, e.Seq, next)
			}
			next++
		}
		if next != events+1 {
			t.Errorf("from %d: ended before %d, want %d", from, next, events+1)
		}
	}
	verify(t, s, "main")
}

func testFew(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	for range 5 {
		commit(t, s, warned("restart"))
	}
	for _, tt := range []struct {
		from        int64
		limit, want int
	}{{1, 0, 5}, {0, 2, 2}, {2, 1, 1}, {4, 3, 2}, {6, 1, 0}} {
		events := collect(t, s, store.Query{Chain: "main", From: tt.from, Limit: tt.limit})
		if len(events) != tt.want || tt.want > 0 && (events[0].Seq != max(tt.from, 1) || events[0].Chain != "main") {
			t.Errorf("from %d, limit %d: %d events, want %d", tt.from, tt.limit, len(events), tt.want)
		}
	}
	if events := collect(t, s, store.Query{Chain: "none", From: 1, Limit: 1}); len(events) != 0 {
		t.Errorf("%d events of no chain", len(events))
	}
}

func testAcross(t *testing.T, db Database) {
	clock := newClock()
	one := start(t, db, store.Options{Chain: "one", Now: clock.Now})
	two := start(t, db, store.Options{Chain: "two", Now: clock.Now})
	c := received("PAS1")
	step := func(s store.Store, k store.Kind) {
		t.Helper()
		clock.Move(time.Millisecond)
		commit(t, s, store.Commit{Exchange: c.Exchange, Entries: []store.Entry{{Kind: k}}})
	}
	commit(t, two, exchanged("PAS2"))
	commit(t, two, c)
	step(one, store.Resumed)
	step(two, store.Asked)
	step(one, store.Answered)
	commit(t, one, exchanged("PAS3"))

	if got, want := kinds(collect(t, one, store.Query{Exchange: c.Exchange, Chain: "none", From: 99})), "[received resumed asked answered]"; got != want {
		t.Errorf("the exchange has %s, want %s", got, want)
	}
}

func testHeads(t *testing.T, db Database) {
	one := start(t, db, store.Options{Chain: "one"})
	two := start(t, db, store.Options{Chain: "two"})
	commit(t, one, exchanged("PAS1"))
	commit(t, two, exchanged("PAS2"))
	commit(t, one, exchanged("PAS3"))

	got, err := two.Heads(deadline(t))
	if err != nil {
		t.Fatalf("Heads() error = %v", err)
	}
	want := []store.Head{verify(t, one, "one").Head, verify(t, one, "two").Head}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Heads() (-want +got):\n%s", diff)
	}
}

func testReaderStops(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	for range 3 {
		commit(t, s, warned("test"))
	}
	for range 20 { // more than any pool has connections
		for _, err := range s.Events(deadline(t), store.Query{Chain: "main"}) {
			if err != nil {
				t.Fatalf("Events() error = %v", err)
			}
			break
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range s.Events(gone, store.Query{Chain: "main"}) {
		if err == nil {
			t.Fatal("Events() with a context that has ended gave an event, want an error")
		}
	}
	if _, err := s.Search(gone, store.Search{ControlID: "PAS1", Limit: 1}); err == nil {
		t.Error("Search() with a context that has ended: want an error")
	}
	commit(t, s, warned("still writing"))
}

func testNothing(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	if got := collect(t, s, store.Query{Chain: "none"}); len(got) != 0 {
		t.Errorf("an unknown chain has %s", kinds(got))
	}
	if got := collect(t, s, store.Query{Exchange: store.NewID()}); len(got) != 0 {
		t.Errorf("an unknown exchange has %s", kinds(got))
	}
	if got, err := s.Heads(deadline(t)); len(got) != 0 || err != nil {
		t.Errorf("Heads() = %v, error %v; want none: no chain has events", got, err)
	}
	if got, err := s.Search(deadline(t), store.Search{ControlID: "none", Limit: 10}); len(got) != 0 || err != nil {
		t.Errorf("Search() = %d exchanges, error %v; want none", len(got), err)
	}
}
