package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

var commits = map[string]func(*testing.T, Database){
	"is visible when it returns, linked to the one before": testLinked,
	"numbers events without a gap under 64 callers":        testGapFree,
	"keeps its order when the clock steps back":            testClockBack,
	"is rejected with nothing kept if no store can":        testRejected,
	"is rejected alone, not with its neighbours":           testRejectedAlone,
	"keeps hostile text":                                   testHostileText,
	"keeps bodies byte for byte":                           testBodies,
	"does not wait longer than its caller":                 testCallerGone,
	"is unavailable before Start and after Close":          testUnavailable,
	"is finished by Close if it was in hand":               testCloseFinishes,
}

func testLinked(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	first, second := exchanged("PAS1"), exchanged("PAS2")
	commit(t, s, first)
	commit(t, s, second)

	events := collect(t, s, store.Query{Chain: "main"})
	if len(events) != 2 {
		t.Fatalf("got %d events, want 2", len(events))
	}
	previous := store.Hash{}
	for i, e := range events {
		want := store.Event{
			Chain: "main", Seq: int64(i) + 1, At: e.At, Kind: store.Exchanged, Doc: e.Doc,
			Exchange: []store.ID{first.Exchange, second.Exchange}[i],
			Hash:     sha256.Sum256(append(previous[:], e.Doc...)),
		}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Errorf("event %d (-want +got):\n%s", i+1, diff)
		}
		if e.At.Location() != time.UTC {
			t.Errorf("event %d: time zone is %v, want UTC", i+1, e.At.Location())
		}
		previous = e.Hash
	}
}

func testGapFree(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	together(64, func(i int) {
		id := fmt.Sprintf("PAS%d", i)
		switch i % 4 {
		case 0:
			commit(t, s, exchanged(id))
		case 1:
			c := received(id)
			commit(t, s, c)
			commit(t, s, replied(c.Exchange, id))
		case 2:
			commit(t, s, warned(id))
		case 3:
			commit(t, s, exchanged(id))
			if r := receipt(t, s, exchanged(id)); r.Status != store.Duplicate {
				t.Errorf("Commit() status = %d, want Duplicate", r.Status)
			}
		}
	})
	const events = 16 + 3*16 + 16 + 2*16
	if w := verify(t, s, "main"); w.Events != events || w.Head.Seq != events {
		t.Errorf("verified %d events up to %d, want %d", w.Events, w.Head.Seq, events)
	}
}

func testClockBack(t *testing.T, db Database) {
	clock := newClock()
	s := start(t, db, store.Options{Now: clock.Now})
	commit(t, s, exchanged("PAS1"))
	clock.Move(-time.Hour)
	commit(t, s, exchanged("PAS2"))
	clock.Move(2 * time.Hour)
	commit(t, s, exchanged("PAS3"))

	verify(t, s, "main")
	events := collect(t, s, store.Query{Chain: "main"})
	if !events[1].At.Equal(events[0].At) {
		t.Errorf("after a step back: time = %v, want that of the event before, %v", events[1].At, events[0].At)
	}
	if got := events[2].At.Sub(events[0].At); got != time.Hour {
		t.Errorf("an hour later: time differs by %v", got)
	}
}

// wantRejected commits what no store can keep to an empty store, which stays empty.
func wantRejected(t *testing.T, s store.Store, all map[string]store.Commit) {
	t.Helper()
	for name, c := range all {
		if _, err := s.Commit(deadline(t), c); !errors.Is(err, store.ErrRejected) {
			t.Errorf("%s: Commit() error = %v, want ErrRejected", name, err)
		}
	}
	if events := collect(t, s, store.Query{Chain: "main"}); len(events) != 0 {
		t.Errorf("got %d events, want none", len(events))
	}
}

func testRejected(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	body := []store.Part{{Kind: store.Frame, Data: []byte("MSH")}}
	wantRejected(t, s, map[string]store.Commit{
		"no entries":             {Exchange: store.NewID()},
		"unknown kind":           {Entries: []store.Entry{{Kind: 0}}},
		"unknown kind of body":   {Exchange: store.NewID(), Entries: []store.Entry{{Kind: store.Received, Parts: []store.Part{{}}}}},
		"unknown outcome":        {Exchange: store.NewID(), Entries: []store.Entry{{Kind: store.Replied}}, Close: &store.Closing{}},
		"body without exchange":  {Entries: []store.Entry{{Kind: store.Broken, Parts: body}}},
		"opens no exchange":      {Open: opening("PAS1"), Entries: []store.Entry{{Kind: store.Received}}},
		"one good and one wrong": {Entries: []store.Entry{{Kind: store.Warned}, {Kind: 77}}},
	})
}

func testRejectedAlone(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	first := received("PAS")
	commit(t, s, first)
	var mu sync.Mutex
	rejected := 0
	together(32, func(i int) {
		c := exchanged(fmt.Sprintf("PAS%d", i))
		if i%8 == 0 {
			c.Exchange = first.Exchange
		}
		_, err := s.Commit(deadline(t), c)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, store.ErrRejected):
			rejected++
			if text := err.Error(); strings.Contains(text, "PAS") || strings.Contains(text, first.Exchange.String()) {
				t.Errorf("Commit() error = %q repeats what was in the commit", text)
			}
		case err != nil:
			t.Errorf("Commit() error = %v", err)
		}
	})
	if rejected != 4 {
		t.Errorf("%d commits were rejected, want the 4 that open an exchange again", rejected)
	}
	if w := verify(t, s, "main"); w.Events != 1+28 {
		t.Errorf("got %d events, want 29", w.Events)
	}
	// What was rejected claimed nothing.
	commit(t, s, exchanged("PAS0"))
}

func testHostileText(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	for name, text := range map[string]string{
		"NUL":           "a\x00b",
		"only NUL":      "\x00",
		"invalid UTF-8": "caf\xe9\xff",
		"surrogate":     "\xed\xa0\x80",
		"astral":        "\U0001F600",
		"quotes":        `'; drop table event; --"\`,
		"line ends":     "a\r\nb\u2028",
		"1 MB":          strings.Repeat("\xc3\x28é", 250_000),
	} {
		c := exchanged(text)
		c.Open.Application, c.Open.Facility, c.Open.Type = text, text, text
		c.Open.LocalID, c.Open.NHSNumber = text, text
		c.Open.Claim.Application, c.Open.Claim.Facility = text, text
		c.Entries[0].Facts.Reason = text
		c.Close.NHSNumber = text
		commit(t, s, c)
		again := c
		again.Exchange = store.NewID()
		if r := receipt(t, s, again); r != (store.Receipt{Status: store.Duplicate, First: c.Exchange}) {
			t.Errorf("%s: sent again: receipt = %v", name, r)
		}
		found, err := s.Search(deadline(t), store.Search{ControlID: text, Limit: 1})
		if want := min(len(store.Text(text)), 1); err != nil || len(found) != want {
			t.Errorf("%s: Search() = %d exchanges, error %v; want %d", name, len(found), err, want)
		}
	}
	verify(t, s, "main")
}

func testBodies(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	noise := make([]byte, 0, 5<<20) // does not compress
	for sum := sha256.Sum256(nil); len(noise) < cap(noise); sum = sha256.Sum256(sum[:]) {
		noise = append(noise, sum[:]...)
	}
	c := received("PAS1")
	parts := []store.Part{
		{Kind: store.Frame, Data: every},
		{Kind: store.Request, Data: []byte{}},
		{Kind: store.Response, Data: noise},
		{Kind: store.Response, Data: bytes.Repeat([]byte("<soap/>"), 10_000)},
	}
	c.Entries = []store.Entry{
		{Kind: store.Received, Parts: parts[:1]},
		{Kind: store.Asked, Parts: parts[1:2]},
		{Kind: store.Answered, Parts: parts[2:]},
		{Kind: store.Finished},
	}
	commit(t, s, c)

	var got []store.Part
	for _, e := range collect(t, s, store.Query{Exchange: c.Exchange}) {
		ps, ok, err := s.Parts(deadline(t), e)
		if want := e.Kind != store.Finished; err != nil || ok != want {
			t.Errorf("Parts(%v) = ok %t, error %v; want ok %t", e.Kind, ok, err, want)
		}
		got = append(got, ps...)
	}
	same := func(a, b store.Part) bool { return a.Kind == b.Kind && bytes.Equal(a.Data, b.Data) }
	if !slices.EqualFunc(parts, got, same) {
		t.Error("bodies differ from what was committed")
	}
	if w := verify(t, s, "main"); w.Bodies != int64(len(parts)) {
		t.Errorf("verified %d bodies, want %d", w.Bodies, len(parts))
	}
}

func testCallerGone(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Commit(gone, exchanged("PAS1")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Commit() error = %v, want ErrUnavailable", err)
	}
	together(16, func(i int) {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		if _, err := s.Commit(ctx, exchanged(fmt.Sprint("PAS", i))); err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Commit() error = %v, want none or ErrUnavailable", err)
		}
	})
	commit(t, s, exchanged("PAS with a caller"))
	verify(t, s, "main")
}

func testUnavailable(t *testing.T, db Database) {
	s := open(t, db, store.Options{})
	check := func(when string) {
		t.Helper()
		if _, err := s.Commit(deadline(t), exchanged("PAS1")); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: Commit() error = %v, want ErrUnavailable", when, err)
		}
		if s.Ready() == nil {
			t.Errorf("%s: Ready() = nil, want a reason", when)
		}
	}
	check("before Start")
	if err := s.Start(deadline(t)); err != nil {
		t.Fatalf("Start() error = %v", err)
	}
	if err := s.Ready(); err != nil {
		t.Errorf("after Start: Ready() error = %v", err)
	}
	stop(t, s)
	check("after Close")
}

func testCloseFinishes(t *testing.T, db Database) {
	s := open(t, db, store.Options{})
	if err := s.Start(deadline(t)); err != nil {
		t.Fatalf("Start() error = %v", err)
	}
	var mu sync.Mutex
	kept := map[store.ID]bool{}
	begun := make(chan struct{}, 32)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			c := exchanged(fmt.Sprint("PAS", i))
			begun <- struct{}{}
			if _, err := s.Commit(deadline(t), c); err == nil {
				mu.Lock()
				kept[c.Exchange] = true
				mu.Unlock()
			} else if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("Commit() error = %v, want none or ErrUnavailable", err)
			}
		})
	}
	for range 8 {
		<-begun
	}
	stop(t, s)
	wg.Wait()

	s = start(t, db, store.Options{})
	verify(t, s, "main")
	for _, e := range collect(t, s, store.Query{Chain: "main"}) {
		delete(kept, e.Exchange)
	}
	if len(kept) > 0 {
		t.Errorf("%d commits returned without an error and are not in the journal", len(kept))
	}
}
