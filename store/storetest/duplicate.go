package storetest

import (
	"crypto/sha256"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

var duplicates = map[string]func(*testing.T, Database){
	"is told the first exchange and leaves only a resent event":   testResent,
	"is recognised among 64 at once":                              testResentAtOnce,
	"is recognised after a restart":                               testResentAfterRestart,
	"is recognised on another chain":                              testResentElsewhere,
	"is a new message when the claim is older than its window":    testWindow,
	"is a new message when sender, control id or content differ":  testOtherMessage,
	"is a new message when the answer was not to be kept":         testForget,
	"is not looked for when the message is not compared":          testNoClaim,
	"is still told the first exchange after another was replaced": testWindowMovesOn,
}

func wantDuplicate(tb testing.TB, s store.Store, c store.Commit, first store.ID) {
	tb.Helper()
	want := store.Receipt{Status: store.Duplicate, First: first}
	if got := receipt(tb, s, c); got != want {
		tb.Errorf("Commit() = %v, want %v", got, want)
	}
}

func testResent(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	first, second := exchanged("PAS1"), exchanged("PAS1")
	second.Entries[0].Facts.Peer = "192.0.2.7:40001"
	second.Entries = append(second.Entries, store.Entry{Kind: store.Warned})
	commit(t, s, first)
	wantDuplicate(t, s, second, first.Exchange)

	if got := collect(t, s, store.Query{Exchange: second.Exchange}); len(got) != 0 {
		t.Errorf("the second exchange left %s", kinds(got))
	}
	events := collect(t, s, store.Query{Exchange: first.Exchange})
	if got, want := kinds(events), "[exchanged resent]"; got != want {
		t.Fatalf("the first exchange has %s, want %s", got, want)
	}
	resent := events[1]
	second.Entries[0].Facts.User = store.System
	if got, err := resent.Facts(); err != nil || !cmp.Equal(got, second.Entries[0].Facts) {
		t.Errorf("Facts() = %+v, error %v; want those of the commit's first entry", got, err)
	}
	if _, ok, err := s.Parts(deadline(t), resent); ok || err != nil {
		t.Errorf("Parts() = ok %t, error %v; want no bodies", ok, err)
	}
	found, err := s.Search(deadline(t), store.Search{ControlID: "PAS1", Limit: 10})
	if err != nil || len(found) != 1 {
		t.Errorf("Search() = %d exchanges, error %v; want 1", len(found), err)
	}
	verify(t, s, "main")
}

func testResentAtOnce(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	var mu sync.Mutex
	var kept []store.ID
	firsts := map[store.ID]int{}
	together(64, func(int) {
		c := exchanged("PAS1")
		r := receipt(t, s, c)
		mu.Lock()
		defer mu.Unlock()
		if r.Status == store.Kept {
			kept = append(kept, c.Exchange)
		} else {
			firsts[r.First]++
		}
	})
	if len(kept) != 1 || firsts[kept[0]] != 63 {
		t.Errorf("%d were kept, and the others were told %v; want one, and 63 told of it", len(kept), firsts)
	}
	if w := verify(t, s, "main"); w.Events != 64 {
		t.Errorf("got %d events, want 64", w.Events)
	}
}

func testResentAfterRestart(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	first := exchanged("PAS1")
	commit(t, s, first)
	stop(t, s)
	s = start(t, db, store.Options{})
	wantDuplicate(t, s, exchanged("PAS1"), first.Exchange)
}

func testResentElsewhere(t *testing.T, db Database) {
	one := start(t, db, store.Options{Chain: "one"})
	two := start(t, db, store.Options{Chain: "two"})
	first := exchanged("PAS1")
	commit(t, one, first)
	wantDuplicate(t, two, exchanged("PAS1"), first.Exchange)

	events := collect(t, two, store.Query{Exchange: first.Exchange})
	if got, want := kinds(events), "[exchanged resent]"; got != want || events[1].Chain != "two" {
		t.Errorf("got %s, want %s with the second on chain two", got, want)
	}
	verify(t, one, "one")
	verify(t, one, "two")
}

func testWindow(t *testing.T, db Database) {
	clock := newClock()
	s := start(t, db, store.Options{Now: clock.Now})
	first := exchanged("PAS1")
	commit(t, s, first)
	clock.Move(week - time.Second)
	wantDuplicate(t, s, exchanged("PAS1"), first.Exchange)
	clock.Move(2 * time.Second)
	commit(t, s, exchanged("PAS1"))

	found, err := s.Search(deadline(t), store.Search{ControlID: "PAS1", Limit: 10})
	if err != nil || len(found) != 2 {
		t.Errorf("Search() = %d exchanges, error %v; want 2", len(found), err)
	}
	verify(t, s, "main")
}

func testWindowMovesOn(t *testing.T, db Database) {
	clock := newClock()
	s := start(t, db, store.Options{Now: clock.Now})
	commit(t, s, exchanged("PAS1"))
	clock.Move(week + time.Second)
	second := exchanged("PAS1")
	commit(t, s, second)
	clock.Move(time.Hour)
	wantDuplicate(t, s, exchanged("PAS1"), second.Exchange)
}

func testOtherMessage(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	commit(t, s, exchanged("PAS1"))
	for name, change := range map[string]func(*store.Claim){
		"content":     func(c *store.Claim) { c.Digest = sha256.Sum256([]byte("other")) },
		"application": func(c *store.Claim) { c.Application = "LIMS" },
		"facility":    func(c *store.Claim) { c.Facility = "RXX02" },
		"boundary":    func(c *store.Claim) { c.Application, c.Facility = "PA", "SRXX01" },
	} {
		c := exchanged("PAS1")
		change(c.Open.Claim)
		if r := receipt(t, s, c); r.Status != store.Kept {
			t.Errorf("other %s: status = %d, want Kept", name, r.Status)
		}
	}
	commit(t, s, exchanged("PAS2"))
}

func testForget(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	atOnce := exchanged("PAS1")
	atOnce.Close = &store.Closing{Outcome: store.Failed, Forget: true}
	commit(t, s, atOnce)

	later := received("PAS1")
	commit(t, s, later)
	wantDuplicate(t, s, exchanged("PAS1"), later.Exchange)
	end := replied(later.Exchange, "AR")
	end.Close = &store.Closing{Outcome: store.Failed, Forget: true}
	commit(t, s, end)

	last := exchanged("PAS1")
	commit(t, s, last)
	wantDuplicate(t, s, exchanged("PAS1"), last.Exchange)
	for _, id := range []store.ID{atOnce.Exchange, later.Exchange, last.Exchange} {
		if _, ok, err := s.Answer(deadline(t), id); !ok || err != nil {
			t.Errorf("Answer() = ok %t, error %v; want what was sent, kept", ok, err)
		}
	}
	verify(t, s, "main")
}

func testNoClaim(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	for range 2 {
		c := exchanged("PAS1")
		c.Open.Claim = nil
		commit(t, s, c)
	}
	commit(t, s, exchanged("PAS1"))
}
