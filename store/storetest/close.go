package storetest

import (
	"fmt"
	"sync"
	"testing"

	"spinetrace/store"
)

var closings = map[string]func(*testing.T, Database){
	"makes the answer available":                      testAnswer,
	"keeps an empty answer":                           testEmptyAnswer,
	"happens once, whoever comes second":              testClosedTwice,
	"happens once after an opening that closed":       testClosedTwiceAtOnce,
	"lets one of many in":                             testClosedByMany,
	"of an exchange twice does not give the claim up": testClosedTwiceForgets,
}

func wantAnswer(tb testing.TB, s store.Store, exchange store.ID, want string) {
	tb.Helper()
	got, ok, err := s.Answer(deadline(tb), exchange)
	if err != nil || !ok || string(got) != want {
		tb.Errorf("Answer() = %d bytes, ok %t, error %v; want the %d bytes it was closed with", len(got), ok, err, len(want))
	}
}

func wantNoAnswer(tb testing.TB, s store.Store, exchange store.ID) {
	tb.Helper()
	if got, ok, err := s.Answer(deadline(tb), exchange); ok || got != nil || err != nil {
		tb.Errorf("Answer() = %d bytes, ok %t, error %v; want none", len(got), ok, err)
	}
}

func testAnswer(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	atOnce, later := exchanged("PAS1"), received("PAS2")
	commit(t, s, atOnce)
	commit(t, s, later)
	wantAnswer(t, s, atOnce.Exchange, string(ack("PAS1")))
	wantNoAnswer(t, s, later.Exchange)
	wantNoAnswer(t, s, store.NewID())

	commit(t, s, replied(later.Exchange, "MSA|AA|PAS2\r"))
	wantAnswer(t, s, later.Exchange, "MSA|AA|PAS2\r")

	// What happens to an exchange after its answer does not change the answer.
	commit(t, s, store.Commit{Exchange: later.Exchange, Entries: []store.Entry{{Kind: store.Finished}}})
	wantAnswer(t, s, later.Exchange, "MSA|AA|PAS2\r")
	stop(t, s)
	s = start(t, db, store.Options{Chain: "other"})
	wantAnswer(t, s, later.Exchange, "MSA|AA|PAS2\r")
}

func testEmptyAnswer(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	c := received("PAS1")
	commit(t, s, c)
	commit(t, s, replied(c.Exchange, ""))
	wantAnswer(t, s, c.Exchange, "")
}

func testClosedTwice(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	c := received("PAS1")
	commit(t, s, c)
	commit(t, s, replied(c.Exchange, "first"))
	want := store.Receipt{Status: store.AlreadyClosed, First: c.Exchange}
	if got := receipt(t, s, replied(c.Exchange, "second")); got != want {
		t.Errorf("Commit() = %v, want %v", got, want)
	}
	wantAnswer(t, s, c.Exchange, "first")
	events := collect(t, s, store.Query{Exchange: c.Exchange})
	if got, want := kinds(events), "[received answered replied answered resent]"; got != want {
		t.Errorf("the exchange has %s, want %s", got, want)
	}
	if w := verify(t, s, "main"); w.Bodies != 4 {
		t.Errorf("verified %d bodies, want 4: all but the second reply", w.Bodies)
	}
}

func testClosedTwiceAtOnce(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	c := exchanged("PAS1")
	commit(t, s, c)
	if got := receipt(t, s, replied(c.Exchange, "second")); got.Status != store.AlreadyClosed {
		t.Errorf("Commit() status = %d, want AlreadyClosed", got.Status)
	}
	wantAnswer(t, s, c.Exchange, string(ack("PAS1")))
	verify(t, s, "main")
}

func testClosedByMany(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	other := start(t, db, store.Options{Chain: "other"})
	c := received("PAS1")
	commit(t, s, c)
	var mu sync.Mutex
	var kept []string
	together(16, func(i int) {
		by, reply := []store.Store{s, other}[i%2], fmt.Sprint("reply ", i)
		r := receipt(t, by, replied(c.Exchange, reply))
		mu.Lock()
		defer mu.Unlock()
		if r.Status == store.Kept {
			kept = append(kept, reply)
		}
	})
	if len(kept) != 1 {
		t.Fatalf("%d closings were kept, want 1", len(kept))
	}
	wantAnswer(t, s, c.Exchange, kept[0])
	verify(t, s, "main")
	verify(t, s, "other")
}

func testClosedTwiceForgets(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	c := exchanged("PAS1")
	commit(t, s, c)
	again := replied(c.Exchange, "AR")
	again.Close = &store.Closing{Outcome: store.Failed, Forget: true}
	if got := receipt(t, s, again); got.Status != store.AlreadyClosed {
		t.Errorf("Commit() status = %d, want AlreadyClosed", got.Status)
	}
	wantDuplicate(t, s, exchanged("PAS1"), c.Exchange)
}
