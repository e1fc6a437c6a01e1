package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"spinetrace/store"
)

var backlogs = map[string]func(*testing.T, Database){
	"keeps an item, open and closed":                    testItem,
	"counts what is raised again":                       testItemAgain,
	"tells of an item once, when it is opened":          testNotices,
	"opens a new item when one was closed":              testItemReopened,
	"closes an item once":                               testClosedOnce,
	"does what commits say of an item in order":         testItemOrder,
	"selects items":                                     testItemQueries,
	"flags entries of the index while an item is open":  testFlagged,
	"ignores the flag of an entry that is written":      testFlagWritten,
	"is not changed by a message that came before":      testResentItems,
	"is closed but not added to by a commit too late":   testLateItems,
	"keeps hostile subjects apart, and documents whole": testHostileSubjects,
	"refuses what no store can keep":                    testItemRejected,
	"takes the same items from two instances at once":   testItemsAtOnce,
	"is what a backlog in memory is":                    testBacklogModel,
	"returns all entries of the index, page by page":    testEntries,
}

// raised is an item about a record, with its number as the NHS number and the subject.
func raised(localID string, n int) store.Item {
	return store.Item{
		Kind: store.SharedNumber, Subject: numbers[n], Patient: key(localID), NHSNumber: numbers[n],
		Exchange: exchangeID(n + 1), Doc: fmt.Sprintf(`{"n":%d}`, n),
	}
}

// opened is an item as it is when it has been raised once.
func opened(i store.Item, at time.Time) store.Item {
	i.Notify, i.Opened, i.Latest, i.Times = nil, at, at, 1
	return i
}

// ended is an item as it is when it was closed as closing does it.
func ended(i store.Item, at time.Time) store.Item {
	i.Closed, i.By, i.Why = at, "clerk", "mended"
	return i
}

// raising is a commit that raises items and does nothing else of note.
func raising(items ...store.Item) store.Commit {
	return store.Commit{Exchange: store.NewID(), Entries: []store.Entry{{Kind: store.Finished}}, Items: items}
}

func closing(items ...store.Item) store.Commit {
	c := raising()
	c.Entries[0].Kind = store.ItemClosed
	for _, i := range items {
		c.Closures = append(c.Closures, store.Closure{Number: i.Number, By: "clerk", Why: "mended"})
	}
	return c
}

// unnumbered makes no difference between numbers, as some may have been left out, nor between no
// items and none.
var unnumbered = cmp.Transformer("unnumbered", func(items []store.Item) []store.Item {
	all := append([]store.Item{}, items...)
	for i := range all {
		all[i].Number = 0
	}
	return all
})

// wantItems returns all open or closed items.
func wantItems(tb testing.TB, s store.Store, closed bool, want ...store.Item) []store.Item {
	tb.Helper()
	return wantSelected(tb, s, store.ItemQuery{Closed: closed, Limit: 1000}, want...)
}

// wantSelected returns the items that a query selects, which come by number.
func wantSelected(tb testing.TB, s store.Store, q store.ItemQuery, want ...store.Item) []store.Item {
	tb.Helper()
	got, err := s.Items(deadline(tb), q)
	if diff := cmp.Diff(want, got, unnumbered); err != nil || diff != "" {
		tb.Errorf("Items(%+v) error %v (-want +got):\n%s", q, err, diff)
	}
	byNumber := func(a, b store.Item) int { return int(a.Number - b.Number) }
	if !slices.IsSortedFunc(got, byNumber) {
		tb.Errorf("Items(%+v) do not come by number", q)
	}
	return got
}

func testItem(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	wantItems(t, s, false)
	c, i := exchanged("PAS1"), raised("100001", 0)
	c.Items = []store.Item{i}
	commit(t, s, c)
	i = wantItems(t, s, false, opened(i, began))[0]
	wantItems(t, s, true)
	if got, ok, err := s.Item(deadline(t), i.Number); err != nil || !ok || cmp.Diff(i, got) != "" {
		t.Errorf("Item() = %+v, ok %t, error %v; want %+v", got, ok, err, i)
	}
	if _, ok, err := s.Item(deadline(t), i.Number+1000); err != nil || ok {
		t.Errorf("Item() of nothing: ok = %t, error %v; want none", ok, err)
	}

	other := start(t, db, store.Options{Chain: "other", Now: clock.Now})
	clock.Move(time.Hour)
	commit(t, other, closing(i))
	i = ended(i, clock.Now())
	wantItems(t, s, false)
	wantItems(t, s, true, i)
	if got, ok, err := s.Item(deadline(t), i.Number); err != nil || !ok || cmp.Diff(i, got) != "" {
		t.Errorf("Item() = %+v, ok %t, error %v; want %+v", got, ok, err, i)
	}
	verify(t, s, "main")
	verify(t, s, "other")
}

func testItemAgain(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	first := raised("100001", 0)
	commit(t, s, raising(first))
	number := wantItems(t, s, false, opened(first, began))[0].Number

	clock.Move(time.Second)
	again := raised("100002", 1)
	again.Subject = first.Subject
	otherKind := again
	otherKind.Kind = store.ReplacedNumber
	commit(t, s, raising(again, otherKind, again))
	want := opened(again, began)
	want.Patient, want.Latest, want.Times = first.Patient, clock.Now(), 3
	got := wantItems(t, s, false, want, opened(otherKind, clock.Now()))
	if got[0].Number != number {
		t.Errorf("the item has the number %d now, want %d", got[0].Number, number)
	}

	// One whose clock is behind does not take the item back.
	behind := start(t, db, store.Options{Chain: "behind", Now: queueClock().Now})
	commit(t, behind, raising(first))
	want.Exchange, want.Doc, want.NHSNumber, want.Times = first.Exchange, first.Doc, first.NHSNumber, 4
	wantItems(t, s, false, want, opened(otherKind, clock.Now()))
}

func testNotices(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	i, nobody := raised("100001", 0), raised("", 1)
	i.Notify, nobody.Notify, nobody.Patient = []string{"clerks", pas, "clerks"}, []string{pas}, store.PatientKey{}
	commit(t, s, raising(i))
	commit(t, s, raising(i, i))
	commit(t, s, raising(nobody, raised("100002", 2)))
	items := wantItems(t, s, false, counted(opened(i, began), 3), opened(nobody, began), opened(raised("100002", 2), began))
	notice := func(n int, destination string) store.Letter {
		of := items[n]
		return waiting(store.Letter{
			Destination: destination, Exchange: of.Exchange, ControlID: fmt.Sprint("item ", of.Number), Kind: store.Notice, Patient: of.Patient,
		}, began)
	}
	var toPAS []store.Letter
	for _, l := range []store.Letter{notice(0, pas), notice(1, pas)} {
		toPAS = append(toPAS, wantNext(t, s, taken(l, 1, began.Add(time.Minute))))
		commit(t, s, dispatching(ending(toPAS[len(toPAS)-1], store.Delivered)))
	}
	wantLetters(t, s, store.Waiting, notice(0, "clerks"))
	commit(t, s, closing(items[0]))
	wantLetters(t, s, store.Waiting, notice(0, "clerks"))
	if told, err := s.Told(deadline(t), pas, i.Patient, began, 10); err != nil || len(told) != 0 {
		t.Errorf("Told() = %d letters, error %v; want none, as a notice is no update", len(told), err)
	}
}

func counted(i store.Item, times int) store.Item {
	i.Times = times
	return i
}

func testItemReopened(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	i := raised("100001", 0)
	i.Notify = []string{pas}
	commit(t, s, raising(i))
	first := wantItems(t, s, false, opened(i, began))[0]
	commit(t, s, closing(first))
	clock.Move(time.Second)
	commit(t, s, raising(i))
	second := wantItems(t, s, false, opened(i, clock.Now()))[0]
	wantItems(t, s, true, ended(first, began))
	if second.Number <= first.Number {
		t.Errorf("number %d was used again", second.Number)
	}
	if notices, err := s.Letters(deadline(t), store.Waiting, 10); err != nil || len(notices) != 2 {
		t.Errorf("%d notices, error %v; want 2", len(notices), err)
	}
}

func testClosedOnce(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	commit(t, s, raising(raised("100001", 0)))
	i := wantItems(t, s, false, opened(raised("100001", 0), began))[0]
	c := closing(i, i, store.Item{Number: math.MaxInt64}) // and nobody's
	c.Closures[1].By, c.Closures[1].Why = "somebody else", "another reason"
	commit(t, s, c)
	clock.Move(time.Second)
	commit(t, s, closing(i))
	wantItems(t, s, true, ended(i, began))
}

func testItemOrder(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	i := raised("100001", 0)
	commit(t, s, raising(i))
	first := wantItems(t, s, false, opened(i, began))[0]
	c := closing(first)
	c.Items = []store.Item{i} // it is raised after it was closed
	commit(t, s, c)
	wantItems(t, s, true, ended(first, began))
	if second := wantItems(t, s, false, opened(i, began))[0]; second.Number <= first.Number {
		t.Errorf("number %d was used again", second.Number)
	}
}

func testItemQueries(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	elsewhere := store.PatientKey{Authority: "RYY01", LocalID: "100001"}
	var items []store.Item
	for n := range 4 {
		i := raised(fmt.Sprint(100001+n%2), n)
		if n == 2 {
			i.Kind, i.Patient = store.Discrepancy, elsewhere
		}
		commit(t, s, raising(i))
		items = append(items, opened(i, began))
	}
	nobody := raised("", 0)
	nobody.Kind, nobody.Patient = store.Conflict, store.PatientKey{}
	commit(t, s, raising(nobody))
	items = append(items, opened(nobody, began))
	items = wantItems(t, s, false, items...)
	commit(t, s, closing(items[1]))
	closed := ended(items[1], began)
	all := func(q store.ItemQuery) store.ItemQuery { q.Limit = 100; return q }
	for _, tt := range []struct {
		q    store.ItemQuery
		want []store.Item
	}{
		{all(store.ItemQuery{}), []store.Item{items[0], items[2], items[3], items[4]}},
		{store.ItemQuery{Limit: 2}, []store.Item{items[0], items[2]}},
		{store.ItemQuery{}, nil},
		{all(store.ItemQuery{After: items[2].Number}), []store.Item{items[3], items[4]}},
		{all(store.ItemQuery{Kind: store.SharedNumber}), []store.Item{items[0], items[3]}},
		{all(store.ItemQuery{Kind: store.Discrepancy, Patient: elsewhere}), []store.Item{items[2]}},
		{all(store.ItemQuery{Patient: key("100001")}), []store.Item{items[0]}},
		{all(store.ItemQuery{Patient: key("100002")}), []store.Item{items[3]}},
		{all(store.ItemQuery{Patient: key("100002"), After: items[3].Number}), nil},
		{all(store.ItemQuery{Patient: store.PatientKey{LocalID: "100001"}}), nil},
		{all(store.ItemQuery{Closed: true}), []store.Item{closed}},
		{all(store.ItemQuery{Closed: true, Patient: key("100002")}), []store.Item{closed}},
		{all(store.ItemQuery{Closed: true, Kind: store.Discrepancy}), nil},
		{all(store.ItemQuery{Closed: true, After: closed.Number}), nil},
		{all(store.ItemQuery{Kind: store.Overrun}), nil},
	} {
		wantSelected(t, s, tt.q, tt.want...)
	}
}

func testFlagged(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	elsewhere := store.PatientKey{Authority: "RYY01", LocalID: "100001"}
	one, two := told(key("100001"), 0), told(elsewhere, 0)
	commit(t, s, telling(one, two))
	want := func(flagged bool) {
		t.Helper()
		one.Flagged = flagged
		wantPatient(t, s, one)
		wantPatient(t, s, two)
		ctx := deadline(t)
		named, err := s.Named(ctx, "100001", 10)
		holders, err2 := s.Holders(ctx, numbers[0], 10)
		entries, err3 := s.Entries(ctx, store.PatientKey{}, 10)
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string][]store.Patient{"Named": named, "Holders": holders, "Entries": entries} {
			if diff := cmp.Diff([]store.Patient{one, two}, got); diff != "" {
				t.Errorf("%s() (-want +got):\n%s", what, diff)
			}
		}
	}
	want(false)
	other := raised("100001", 1)
	other.Kind = store.Discrepancy
	commit(t, s, raising(raised("100001", 0), other, raised("100002", 2)))
	want(true)
	items, err := s.Items(deadline(t), store.ItemQuery{Patient: one.Key, Limit: 10})
	if err != nil || len(items) != 2 {
		t.Fatalf("Items() = %d items, error %v; want 2", len(items), err)
	}
	commit(t, s, closing(items[0]))
	want(true)
	commit(t, s, closing(items[1]))
	want(false)
	commit(t, s, raising(raised("100001", 0)))
	want(true)
}

func testFlagWritten(t *testing.T, db Database) {
	clock := newClock()
	s := start(t, db, store.Options{Now: clock.Now})
	p := told(key("100001"), 1)
	p.Flagged = true
	commit(t, s, telling(p))
	commit(t, s, telling(p))
	clock.Move(time.Hour)
	reindex(t, s, clock.Now(), 1, 0, p)
	p.Flagged = false
	wantPatient(t, s, p)
	commit(t, s, raising(raised("100001", 0)))
	commit(t, s, telling(told(key("100001"), 2)))
	p = told(key("100001"), 2)
	p.Flagged = true
	wantPatient(t, s, p)
}

func testResentItems(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	first, second := exchanged("PAS1"), exchanged("PAS1")
	first.Items = []store.Item{raised("100001", 0)}
	commit(t, s, first)
	i := wantItems(t, s, false, opened(raised("100001", 0), began))[0]
	second.Items = []store.Item{raised("100001", 0), raised("100002", 1)}
	second.Closures = closing(i).Closures
	wantDuplicate(t, s, second, first.Exchange)
	wantItems(t, s, false, i)
	wantItems(t, s, true)
}

func testLateItems(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	c := exchanged("PAS1")
	c.Items = []store.Item{raised("100001", 0)}
	commit(t, s, c)
	i := wantItems(t, s, false, opened(raised("100001", 0), began))[0]
	late := replied(c.Exchange, "second")
	late.Items = []store.Item{raised("100001", 0), raised("100002", 1)}
	late.Items[1].Notify = []string{pas}
	late.Closures = closing(i).Closures
	if got := receipt(t, s, late); got.Status != store.AlreadyClosed {
		t.Errorf("Commit() status = %d, want AlreadyClosed", got.Status)
	}
	wantItems(t, s, false)
	wantItems(t, s, true, ended(i, began))
	wantLetters(t, s, store.Waiting)
}

func testHostileSubjects(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	long := strings.Repeat("x", 300)
	docs := []string{"", `{"name":"É\u0000 '\""}`, "not JSON\r\n\x01", strings.Repeat("x", store.MaxDoc), strings.Repeat("é", store.MaxDoc/2)}
	var want []store.Item
	for n, name := range []string{
		"a\x00b", "ab", "\x00", "caf\xe9", "caf\uFFFD", "\U0001F600", `'; drop table item; --"\`, long + "1", long + "2", "two words",
	} {
		i := raised("", n%4)
		i.Subject, i.Patient, i.Doc = name, store.PatientKey{Authority: name, LocalID: name}, docs[n%len(docs)]
		commit(t, s, raising(i))
		want = append(want, opened(i.Fit(), began))
		wantSelected(t, s, store.ItemQuery{Patient: i.Patient, Limit: 10}, want[n])
	}
	wantItems(t, s, false, want...)
}

func testItemRejected(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	large, loud := raised("100001", 0), raised("100001", 0)
	large.Doc, loud.Notify = strings.Repeat("x", store.MaxDoc+1), []string{pas, "PAS"}
	nobody := closing(store.Item{Number: 1})
	nobody.Closures[0].By = ""
	wantRejected(t, s, map[string]store.Commit{
		"large document": raising(raised("100002", 1), large),
		"no short word":  raising(loud),
		"no subject":     raising(store.Item{Kind: store.Conflict, Exchange: exchangeID(1)}),
		"no item":        closing(store.Item{}),
		"nobody":         nobody,
	})
	wantItems(t, s, false)
}

// testItemsAtOnce has two instances raise the same items and close them, in different orders.
func testItemsAtOnce(t *testing.T, db Database) {
	clock := queueClock()
	stores := pair(t, db, store.Options{Now: clock.Now})
	const subjects, callers, rounds = 10, 16, 10
	together(callers, func(caller int) {
		s := stores[caller%2]
		for range rounds {
			open, err := s.Items(deadline(t), store.ItemQuery{Limit: 1000})
			if err != nil {
				t.Errorf("Items() error = %v", err)
			}
			c := raising()
			if caller%4 == 0 {
				c = closing(open...)
			}
			for n := range subjects {
				i := raised("100001", 0)
				i.Subject, i.Notify = fmt.Sprint(n), []string{pas}
				c.Items = append(c.Items, i)
			}
			if caller%2 == 1 {
				slices.Reverse(c.Items)
				slices.Reverse(c.Closures)
			}
			commit(t, s, c)
		}
	})
	all, err := stores[0].Items(deadline(t), store.ItemQuery{Limit: 1e6})
	if err != nil || len(all) != subjects {
		t.Errorf("Items() = %d open items, error %v; want %d", len(all), err, subjects)
	}
	closed, err := stores[0].Items(deadline(t), store.ItemQuery{Closed: true, Limit: 1e6})
	if err != nil {
		t.Fatalf("Items() error = %v", err)
	}
	all = append(all, closed...)
	times := make(map[string]int)
	for _, i := range all {
		times[i.Subject] += i.Times
	}
	for n := range subjects {
		if got := times[fmt.Sprint(n)]; got != callers*rounds {
			t.Errorf("item %d was counted %d times, want %d", n, got, callers*rounds)
		}
	}
	notices, err := stores[0].Letters(deadline(t), store.Waiting, 1e6)
	if err != nil || len(notices) != len(all) {
		t.Errorf("%d notices, error %v; want one for each of %d items", len(notices), err, len(all))
	}
}

func testEntries(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	var want []store.Patient
	for n, id := range []string{"b", "a", "B", "é", "10", "9", "a b", "\U0001F600"} {
		for _, authority := range []string{"", "RXX01", "rxx01"} {
			want = append(want, told(store.PatientKey{Authority: authority, LocalID: id}, n))
		}
	}
	commit(t, s, telling(want...))
	slices.SortFunc(want, func(a, b store.Patient) int { return a.Key.Compare(b.Key) })
	var got []store.Patient
	for after := (store.PatientKey{}); ; after = got[len(got)-1].Key {
		page, err := s.Entries(deadline(t), after, 5)
		if err != nil || len(page) > 5 {
			t.Fatalf("Entries() = %d entries, error %v; want 5 at most", len(page), err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Entries() (-want +got):\n%s", diff)
	}
	if none, err := s.Entries(deadline(t), store.PatientKey{}, 0); err != nil || len(none) != 0 {
		t.Errorf("Entries() with limit 0 = %d entries, error %v", len(none), err)
	}
}

// backlog is what a [store.Backlog] should be, in plain memory: items in the order of their numbers,
// which are learnt from the store.
type backlog struct {
	items   []*store.Item
	notices []store.Letter // without their control ids, by item
	of      []*store.Item
}

func (b *backlog) commit(now time.Time, c store.Commit) {
	for _, done := range c.Closures {
		for _, i := range b.items {
			if i.Number == done.Number && i.Closed.IsZero() {
				i.Closed, i.By, i.Why = now, done.By, done.Why
			}
		}
	}
	for _, i := range c.Items {
		b.raise(now, i)
	}
}

func (b *backlog) raise(now time.Time, i store.Item) {
	for _, known := range b.items {
		if known.Kind == i.Kind && known.Subject == i.Subject && known.Closed.IsZero() {
			known.NHSNumber, known.Exchange, known.Doc, known.Latest = i.NHSNumber, i.Exchange, i.Doc, now
			known.Times++
			return
		}
	}
	one := opened(i, now)
	b.items = append(b.items, &one)
	for _, destination := range slices.Compact(slices.Clone(i.Notify)) {
		l := store.Letter{Destination: destination, Exchange: i.Exchange, Kind: store.Notice, Patient: i.Patient}
		b.notices, b.of = append(b.notices, waiting(l, now)), append(b.of, &one)
	}
}

func (b *backlog) selected(closed bool, of store.PatientKey) []store.Item {
	var items []store.Item
	for _, i := range b.items {
		if i.Closed.IsZero() != closed && (of == store.PatientKey{} || of == i.Patient) {
			items = append(items, *i)
		}
	}
	return items
}

// testBacklogModel compares two instances with a backlog in memory over random histories.
func testBacklogModel(t *testing.T, db Database) {
	clock := queueClock()
	stores := pair(t, db, store.Options{Now: clock.Now})
	patients := []store.PatientKey{key("1"), {LocalID: "1"}}
	commit(t, stores[0], telling(told(patients[0], 0), told(patients[1], 1)))
	var before int64
	rapid.Check(t, func(rt *rapid.T) {
		drop(t, stores[0])
		before = closeAll(t, stores[0], before)
		b := new(backlog)
		for range rapid.IntRange(1, 8).Draw(rt, "commits") {
			s := stores[rapid.IntRange(0, 1).Draw(rt, "instance")]
			clock.Move(time.Second)
			c := backlogCommit(rt, patients, b)
			commit(t, s, c)
			b.commit(clock.Now(), c)
			b.check(t, rt, s, before)
			for n, patient := range patients {
				want := told(patient, n)
				want.Flagged = len(b.selected(false, patient)) > 0
				wantPatient(t, s, want)
			}
		}
	})
	verify(t, stores[0], "one")
	verify(t, stores[0], "two")
}

// backlogCommit makes changes to a backlog of few items.
func backlogCommit(rt *rapid.T, patients []store.PatientKey, b *backlog) store.Commit {
	c := raising()
	for range rapid.IntRange(0, min(2, len(b.items))).Draw(rt, "closed") {
		one := rapid.SampledFrom(b.items).Draw(rt, "item")
		by := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "by")
		c.Closures = append(c.Closures, store.Closure{Number: one.Number, By: by, Why: "why " + by})
	}
	for range rapid.IntRange(0, 3).Draw(rt, "raised") {
		i := raised("", rapid.IntRange(0, 3).Draw(rt, "message"))
		i.Kind = rapid.SampledFrom([]store.ItemKind{store.SharedNumber, store.Overrun}).Draw(rt, "kind")
		i.Subject = rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "subject")
		i.Patient = rapid.SampledFrom(append(patients, store.PatientKey{})).Draw(rt, "patient")
		i.Notify = rapid.SampledFrom([][]string{nil, {pas}, {pas, "clerks"}, {pas, pas}}).Draw(rt, "notify")
		c.Items = append(c.Items, i)
	}
	// Which of two that a commit opens has the lower number is the store's business.
	slices.SortStableFunc(c.Items, func(x, y store.Item) int {
		if x.Kind != y.Kind {
			return int(x.Kind) - int(y.Kind)
		}
		return strings.Compare(x.Subject, y.Subject)
	})
	return c
}

// check compares what can be read of the store's backlog, and learns the numbers of what is new.
func (b *backlog) check(t *testing.T, rt *rapid.T, s store.Store, before int64) {
	for _, closed := range []bool{false, true} {
		got, err := s.Items(deadline(t), store.ItemQuery{Closed: closed, After: before, Limit: 1000})
		if diff := cmp.Diff(b.selected(closed, store.PatientKey{}), got, unnumbered); err != nil || diff != "" {
			rt.Fatalf("Items(closed %t) error %v (-want +got):\n%s", closed, err, diff)
		}
		b.learn(rt, closed, got)
	}
	got, err := s.Letters(deadline(t), store.Waiting, 1000)
	want := slices.Clone(b.notices)
	for n := range want {
		want[n].ControlID = fmt.Sprint("item ", b.of[n].Number)
	}
	if diff := cmp.Diff(want, got, unplaced); err != nil || diff != "" {
		rt.Fatalf("Letters() error %v (-want +got):\n%s", err, diff)
	}
}

// learn notes numbers, which are higher than those that were known before.
func (b *backlog) learn(rt *rapid.T, closed bool, got []store.Item) {
	n, last := 0, int64(0)
	for _, i := range b.items {
		if i.Closed.IsZero() != closed {
			if i.Number == 0 && got[n].Number > last {
				i.Number = got[n].Number
			}
			if i.Number != got[n].Number {
				rt.Fatalf("an item has the number %d, want %d", got[n].Number, i.Number)
			}
			n++
		}
		last = max(last, i.Number)
	}
}

// closeAll closes all items for the next history, and returns the highest number of any, which is
// above one that is known.
func closeAll(t *testing.T, s store.Store, highest int64) int64 {
	left, err := s.Items(deadline(t), store.ItemQuery{Limit: 1000})
	if err != nil {
		t.Fatalf("Items() error = %v", err)
	}
	commit(t, s, closing(left...))
	closed, err := s.Items(deadline(t), store.ItemQuery{Closed: true, After: highest, Limit: 1000})
	if err != nil {
		t.Fatalf("Items() error = %v", err)
	}
	if len(closed) > 0 {
		highest = closed[len(closed)-1].Number
	}
	return highest
}
