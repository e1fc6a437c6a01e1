package storetest

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"spinetrace/store"
)

var prunings = map[string]func(*testing.T, Database){
	"drops what is old, and spares what is needed":      testDrop,
	"drops more than a page":                            testDropPages,
	"refuses to drop what is young":                     testDropAge,
	"is not taken for a loss, and a loss not for it":    testDropVerify,
	"covers nothing by a record that claims too much":   testDropClaims,
	"goes by when an exchange began, not by its events": testDropLateEvent,
}

// past returns a store whose clock is that of 20 days ago, for which the tables still have room.
func past(t *testing.T, db Database, o store.Options) (s store.Store, then time.Time) {
	then = time.Now().Add(-20 * 24 * time.Hour)
	o.Now = func() time.Time { return then }
	return start(t, db, o), then
}

// pruner returns a store that may drop bodies.
func pruner(t *testing.T, db Database) store.Store {
	t.Helper()
	if db.OpenPruner != nil {
		db.Open = db.OpenPruner
	}
	return start(t, db, store.Options{Chain: "main.cli"})
}

func prune(t *testing.T, s store.Store, before time.Time) (dropped int64) {
	t.Helper()
	last := int64(0)
	dropped, err := s.DropBodies(deadline(t), before, func(n int64) {
		if n < last {
			t.Errorf("progress went from %d to %d", last, n)
		}
		last = n
	})
	if err != nil || last != dropped {
		t.Fatalf("DropBodies() = %d, progress %d, error %v", dropped, last, err)
	}
	return dropped
}

func recordDrop(t *testing.T, s store.Store, before time.Time) {
	t.Helper()
	commit(t, s, store.Commit{Entries: []store.Entry{store.DropEntry("clerk", before, 1)}})
}

// kept says of each exchange whether its bodies are there.
func kept(t *testing.T, s store.Store, exchange store.ID) bool {
	t.Helper()
	bodies := 0
	for _, e := range collect(t, s, store.Query{Exchange: exchange}) {
		parts, ok, err := s.Parts(deadline(t), e)
		if err != nil || ok != (len(parts) > 0) {
			t.Errorf("Parts() = %d, ok %t, error %v", len(parts), ok, err)
		}
		bodies += len(parts)
	}
	return bodies > 0
}

// oldAndYoung commits exchanges to a store whose clock is behind: some may lose their bodies an hour
// after then, of others something is still to be done.
func oldAndYoung(t *testing.T, db Database, old store.Store, then time.Time) map[string]store.ID {
	t.Helper()
	commitAt := func(s store.Store, at time.Time, controlID string, change func(*store.Commit)) store.ID {
		c := exchanged(controlID)
		c.Exchange = idAt(at)
		change(&c)
		commit(t, s, c)
		return c.Exchange
	}
	letter := func(name string) func(*store.Commit) {
		return func(c *store.Commit) {
			c.Letters = []store.Letter{{Destination: "pas", Exchange: c.Exchange, ControlID: name, Kind: store.Forwarded}}
		}
	}
	nothing := func(*store.Commit) {}
	exchanges := map[string]store.ID{
		"plain": commitAt(old, then, "PAS1", nothing),
		"queued": commitAt(old, then, "PAS2", func(c *store.Commit) {
			c.Work = []store.Work{{Exchange: c.Exchange, Kind: store.Put, Due: then}}
		}),
		"parked": commitAt(old, then, "PAS3", func(c *store.Commit) {
			c.Work = []store.Work{{Exchange: c.Exchange, Kind: store.Put, Due: then}}
		}),
		"letter waiting":   commitAt(old, then, "PAS4", letter("waiting")),
		"letter parked":    commitAt(old, then, "PAS5", letter("parked")),
		"letter delivered": commitAt(old, then, "PAS6", letter("delivered")),
		"just too young":   commitAt(old, then.Add(time.Hour), "PAS7", nothing),
		"young":            commitAt(start(t, db, store.Options{Chain: "other"}), time.Now(), "PAS8", nothing),
	}
	settled := store.Commit{Entries: []store.Entry{{Kind: store.Finished}}, Settled: []store.Settlement{{Exchange: exchanges["parked"], Park: true}}}
	for i, state := range []store.LetterState{store.Parked, store.Delivered} {
		letters, err := old.Letters(deadline(t), store.Waiting, 9)
		if err != nil {
			t.Fatal(err)
		}
		settled.Dispatched = append(settled.Dispatched, store.Dispatch{Position: letters[i+1].Position, State: state})
	}
	commit(t, old, settled)
	return exchanges
}

func testDrop(t *testing.T, db Database) {
	old, then := past(t, db, store.Options{})
	exchanges := oldAndYoung(t, db, old, then)
	s, before := pruner(t, db), then.Add(time.Hour)
	n, err := s.CountBodies(deadline(t), before)
	if err != nil || n != 2 {
		t.Errorf("CountBodies() = %d, error %v; want 2", n, err)
	}
	recordDrop(t, s, before)
	if n := prune(t, s, before); n != 2 {
		t.Errorf("DropBodies() = %d, want 2", n)
	}
	if n := prune(t, s, before); n != 0 {
		t.Errorf("DropBodies() again = %d, want 0", n)
	}
	for name, id := range exchanges {
		gone := name == "plain" || name == "letter delivered"
		if kept(t, old, id) == gone {
			t.Errorf("%s: bodies kept = %t", name, !gone)
		}
		if _, ok, err := old.Answer(deadline(t), id); ok == gone || err != nil {
			t.Errorf("%s: Answer() ok = %t, error %v", name, ok, err)
		}
	}
	if w := verify(t, old, "main"); w.Dropped != 4 || w.Bodies != 10 {
		t.Errorf("verified %d bodies and %d dropped ones, want 10 and 4", w.Bodies, w.Dropped)
	}
	if found, err := old.Search(deadline(t), store.Search{Chain: "main", Limit: 99}); err != nil || len(found) != 7 {
		t.Errorf("Search() = %d exchanges, error %v; want all 7", len(found), err)
	}
}

func testDropPages(t *testing.T, db Database) {
	old, then := past(t, db, store.Options{})
	const events = 2500
	c := received("PAS1")
	c.Exchange = idAt(then)
	for range events - 1 {
		c.Entries = append(c.Entries, store.Entry{Kind: store.Asked, Parts: []store.Part{{Kind: store.Request, Data: []byte("<ask/>")}}})
	}
	commit(t, old, c)
	s := pruner(t, db)
	recordDrop(t, s, then.Add(time.Minute))
	if n, err := s.CountBodies(deadline(t), then.Add(time.Minute)); err != nil || n != events {
		t.Errorf("CountBodies() = %d, error %v; want %d", n, err, events)
	}
	if n := prune(t, s, then.Add(time.Minute)); n != events {
		t.Errorf("DropBodies() = %d, want %d", n, events)
	}
	if w := verify(t, old, "main"); w.Dropped != events || w.Bodies != 0 {
		t.Errorf("verified %d bodies and %d dropped ones, want 0 and %d", w.Bodies, w.Dropped, events)
	}
}

func testDropAge(t *testing.T, db Database) {
	old, then := past(t, db, store.Options{})
	c := exchanged("PAS1")
	c.Exchange = idAt(then)
	commit(t, old, c)
	s := pruner(t, db)
	for _, age := range []time.Duration{-time.Hour, 0, store.LeastAge - time.Minute} {
		if n, err := s.DropBodies(deadline(t), time.Now().Add(-age), nil); err == nil || n != 0 {
			t.Errorf("%v old: DropBodies() = %d, error %v; want an error", age, n, err)
		}
	}
	if !kept(t, old, c.Exchange) {
		t.Error("bodies were dropped all the same")
	}
	if n, err := s.DropBodies(deadline(t), time.Now().Add(-store.LeastAge-time.Minute), nil); err != nil || n != 1 {
		t.Errorf("DropBodies() = %d, error %v; want 1", n, err)
	}
}

// wantMissing wants the chain main to break at an event.
func wantMissing(t *testing.T, s store.Store, seq int64) {
	t.Helper()
	_, err := store.Verify(deadline(t), s, "main", true, nil)
	var found *store.Break
	if !errors.As(err, &found) || found.Seq != seq || found.What != "body missing" {
		t.Errorf("Verify() error = %v, want a body missing at %d", err, seq)
	}
}

func testDropVerify(t *testing.T, db Database) {
	old, then := past(t, db, store.Options{})
	for i, at := range []time.Time{then, then.Add(time.Hour)} {
		c := exchanged([]string{"PAS1", "PAS2"}[i])
		c.Exchange = idAt(at)
		commit(t, old, c)
	}
	s := pruner(t, db)
	prune(t, s, then.Add(time.Minute))
	wantMissing(t, old, 1) // nobody has recorded it
	recordDrop(t, s, then.Add(-time.Minute))
	wantMissing(t, old, 1)
	recordDrop(t, s, then.Add(time.Minute))
	recordDrop(t, s, then.Add(-time.Minute))
	if w := verify(t, old, "main"); w.Dropped != 2 || w.Bodies != 2 {
		t.Errorf("verified %d bodies and %d dropped ones, want 2 of each", w.Bodies, w.Dropped)
	}
	if db.Exec != nil {
		db.Exec(t, `delete from body where seq = 2`)
		wantMissing(t, old, 2)
	}
}

func testDropClaims(t *testing.T, db Database) {
	old, then := past(t, db, store.Options{})
	c := exchanged("PAS1")
	c.Exchange = idAt(then)
	commit(t, old, c)
	s := pruner(t, db)
	prune(t, s, then.Add(time.Minute))
	recordDrop(t, s, time.Now())
	wantMissing(t, old, 1)
	garbled := store.DropEntry("clerk", then, 1)
	garbled.Facts.Details["before"] = "yesterday"
	commit(t, s, store.Commit{Entries: []store.Entry{garbled}})
	wantMissing(t, old, 1)
}

func testDropLateEvent(t *testing.T, db Database) {
	old, then := past(t, db, store.Options{})
	c := received("PAS1")
	c.Exchange = idAt(then)
	commit(t, old, c)
	stop(t, old)
	now := start(t, db, store.Options{})
	commit(t, now, replied(c.Exchange, "weeks later"))
	s := pruner(t, db)
	recordDrop(t, s, then.Add(time.Minute))
	if n := prune(t, s, then.Add(time.Minute)); n != 3 {
		t.Errorf("DropBodies() = %d, want 3", n)
	}
	if w := verify(t, now, "main"); w.Dropped != 3 {
		t.Errorf("verified %d dropped bodies, want 3", w.Dropped)
	}
}

var encryptings = map[string]func(*testing.T, Database){
	"gives bodies back, whatever key was the newest": testKeyRotation,
	"says that a key is missing":                     testKeyMissing,
	"knows the keys that it was written with":        testKeysKnown,
	"refuses a body of another exchange":             testKeySwapped,
	"refuses a body of another chain":                testKeyMoved,
}

const (
	keyOne = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
	keyTwo = "2:1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100\n"
)

func keys(t *testing.T, text string) *store.BodyKeys {
	t.Helper()
	if text == "" {
		return nil
	}
	k, err := store.ParseBodyKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testKeyRotation(t *testing.T, db Database) {
	var sent []store.Commit
	large := bytes.Repeat([]byte("<soap/>"), 1000)
	for i, text := range []string{"", keyOne, keyTwo + keyOne, keyOne + keyTwo} {
		s := start(t, db, store.Options{BodyKeys: keys(t, text)})
		c := received([]string{"PAS1", "PAS2", "PAS3", "PAS4"}[i])
		c.Entries = append(c.Entries, store.Entry{Kind: store.Asked, Parts: []store.Part{{Kind: store.Request, Data: large}}})
		commit(t, s, c)
		commit(t, s, replied(c.Exchange, "reply"))
		sent = append(sent, c)
		for _, c := range sent {
			wantAnswer(t, s, c.Exchange, "reply")
			for _, e := range collect(t, s, store.Query{Exchange: c.Exchange}) {
				if parts, ok, err := s.Parts(deadline(t), e); !ok || err != nil || e.Kind == store.Asked && !bytes.Equal(parts[0].Data, large) {
					t.Errorf("%v: Parts() ok = %t, error %v; want what was kept", e.Kind, ok, err)
				}
			}
		}
		if w := verify(t, s, "main"); w.Bodies != int64(4*len(sent)) {
			t.Errorf("verified %d bodies, want %d", w.Bodies, 4*len(sent))
		}
		stop(t, s)
	}
}

func testKeyMissing(t *testing.T, db Database) {
	s := start(t, db, store.Options{BodyKeys: keys(t, keyOne)})
	c := exchanged("PAS1")
	commit(t, s, c)
	stop(t, s)
	for _, text := range []string{"", keyTwo} {
		s := start(t, db, store.Options{Chain: "main.cli", BodyKeys: keys(t, text)})
		e := collect(t, s, store.Query{Exchange: c.Exchange})[0]
		_, answered, answer := s.Answer(deadline(t), c.Exchange)
		_, ok, parts := s.Parts(deadline(t), e)
		if answered || ok {
			t.Errorf("Answer() ok = %t, Parts() ok = %t without the key", answered, ok)
		}
		for name, err := range map[string]error{"Answer": answer, "Parts": parts} {
			var missing *store.MissingKeyError
			if !errors.Is(err, store.ErrNoBodyKey) || !errors.As(err, &missing) || missing.Number != 1 {
				t.Errorf("%s() error = %v, want that key 1 is missing", name, err)
			}
		}
		walk, err := store.Verify(deadline(t), s, "main", true, nil)
		want := []store.Locked{{Key: 1, Bodies: int64(len(c.Entries[0].Parts)), First: e.Seq}}
		if err != nil || walk.Bodies != 0 || !slices.Equal(walk.Locked, want) {
			t.Errorf("Verify() = %d bodies, locked %v, error %v; want %v", walk.Bodies, walk.Locked, err, want)
		}
		if _, err := store.Verify(deadline(t), s, "main", false, nil); err != nil {
			t.Errorf("Verify() without bodies: error = %v", err)
		}
		stop(t, s)
	}
}

// testKeysKnown: with the wrong keys nobody writes, in clear or so that it looks damaged with the right ones.
func testKeysKnown(t *testing.T, db Database) {
	s := start(t, db, store.Options{BodyKeys: keys(t, keyOne+keyTwo)})
	commit(t, s, exchanged("PAS1"))
	stop(t, s)
	otherTwo := "2:ff" + keyTwo[4:]
	for _, tt := range []struct {
		chain, keys string
		want        error
	}{
		{"main", "", store.ErrNoBodyKey},
		{"main", keyOne, store.ErrNoBodyKey},
		{"main", keyOne + otherTwo, store.ErrOtherBodyKey},
		{"other", otherTwo, store.ErrOtherBodyKey},
		{"main.cli", otherTwo, store.ErrOtherBodyKey},
		{"main", keyTwo, nil},
		{"main", keyTwo + "3:" + keyOne[2:], nil},
	} {
		s := open(t, db, store.Options{Chain: tt.chain, BodyKeys: keys(t, tt.keys)})
		if err := s.Start(deadline(t)); !errors.Is(err, tt.want) {
			t.Errorf("%s: Start() error = %v, want %v", tt.chain, err, tt.want)
		}
		stop(t, s)
	}
	s = start(t, db, store.Options{Chain: "main.cli", BodyKeys: keys(t, keyOne)})
	if _, err := s.Commit(deadline(t), exchanged("PAS2")); !errors.Is(err, store.ErrNoBodyKey) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Commit() of bodies without the newest key: error = %v, want ErrNoBodyKey", err)
	}
	commit(t, s, store.Commit{Entries: []store.Entry{{Kind: store.Looked}}})
}

func testKeySwapped(t *testing.T, db Database) {
	if db.Exec == nil {
		t.Skip("the data cannot be reached past the store")
	}
	s := start(t, db, store.Options{BodyKeys: keys(t, keyOne)})
	commit(t, s, exchanged("PAS1"))
	c := exchanged("PAS2")
	commit(t, s, c)
	db.Exec(t, `update body set data = (select data from body where seq = 1) where seq = 2`)
	wantNotOpened(t, s, c.Exchange)
	if _, ok, err := s.Answer(deadline(t), c.Exchange); ok || !errors.Is(err, store.ErrParts) {
		t.Errorf("Answer() ok = %t, error %v; want ErrParts", ok, err)
	}
}

func testKeyMoved(t *testing.T, db Database) {
	if db.Exec == nil {
		t.Skip("the data cannot be reached past the store")
	}
	s := start(t, db, store.Options{BodyKeys: keys(t, keyOne)})
	other := start(t, db, store.Options{Chain: "other", BodyKeys: keys(t, keyOne)})
	c := received("PAS1")
	commit(t, s, c)
	commit(t, other, replied(c.Exchange, "reply"))
	db.Exec(t, `update body set data = (select data from body b where b.chain <> body.chain and b.seq = 1) where seq = 1`)
	wantNotOpened(t, s, c.Exchange)
}

func wantNotOpened(t *testing.T, s store.Store, exchange store.ID) {
	t.Helper()
	e := collect(t, s, store.Query{Exchange: exchange})[0]
	if _, ok, err := s.Parts(deadline(t), e); ok || !errors.Is(err, store.ErrParts) {
		t.Errorf("Parts() ok = %t, error %v; want ErrParts", ok, err)
	}
}

var anchorings = map[string]func(*testing.T, Database){
	"shows that the end of another chain was cut off": testAnchors,
}

func testAnchors(t *testing.T, db Database) {
	one, two := start(t, db, store.Options{Chain: "one"}), start(t, db, store.Options{Chain: "two"})
	anchor := func() []store.Head {
		heads, err := two.Heads(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		commit(t, two, store.Commit{Entries: []store.Entry{store.AnchorEntry(heads, "two")}})
		return heads
	}
	anchor() // of nothing
	commit(t, one, exchanged("PAS1"))
	anchor()
	commit(t, one, exchanged("PAS2"))
	want := anchor()[:1]
	want[0].At = time.Time{}
	commit(t, one, exchanged("PAS3"))

	w := verify(t, one, "two")
	if len(w.Anchored) != 2 || w.Anchored[0].Seq != 1 || w.Anchored[1] != want[0] || want[0].Seq != 2 {
		t.Errorf("anchored %v, want %v", w.Anchored, want)
	}
	wantBreaks := func(n int, heads ...store.Head) {
		t.Helper()
		breaks, err := store.CheckHeads(deadline(t), one, heads)
		if err != nil || len(breaks) != n {
			t.Errorf("CheckHeads() = %v, error %v; want %d breaks", breaks, err, n)
		}
	}
	forged := want[0]
	forged.Hash[0]++
	wantBreaks(0, w.Anchored...)
	wantBreaks(1, forged, want[0])
	wantBreaks(2, store.Head{Chain: "one", Seq: 4}, store.Head{Chain: "none", Seq: 1})
	if db.Exec != nil {
		db.Exec(t, `delete from event where chain = (select id from chain where name = 'one') and seq >= 2`)
		verify(t, one, "one") // alone it cannot know
		wantBreaks(1, w.Anchored...)
	}
}
