package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

var queueings = map[string]func(*testing.T, Database){
	"keeps an item until it is done":                           testWork,
	"gives out what is due, the most overdue first":            testDue,
	"gives an item to nobody else while its claim holds":       testLease,
	"gives an item out again after a crash":                    testCrash,
	"keeps an item for each message of a patient":              testSamePatient,
	"lets a message add its item again":                        testAddAgain,
	"tries again, or parks":                                    testAgainAndPark,
	"settles a claim once, and late as long as nobody has it":  testSettleOnce,
	"settles whoever has the item when its exchange has ended": testSettleAnyAttempt,
	"does what a commit says in order":                         testQueueOrder,
	"is not changed by a message that came before":             testResentWork,
	"is settled but not added to by a commit that is too late": testLateWork,
	"shows patients as they were named":                        testHostileItems,
	"refuses what no store can keep":                           testWorkRejected,
	"gives each item to one of many workers":                   testWorkers,
	"takes the same items from two instances at once":          testWorkAtOnce,
	"is what a queue in memory is":                             testQueueModel,
}

// item is the item of a message, due at began.
func item(localID string, n int) store.Work {
	return store.Work{
		Exchange: exchangeID(n + 1), Patient: key(localID), Kind: store.Unfinished, Due: began, Reason: fmt.Sprint("reason ", n),
	}
}

// working is a commit that changes the queue and nothing else of note.
func working(items ...store.Work) store.Commit {
	return store.Commit{Exchange: store.NewID(), Entries: []store.Entry{{Kind: store.Finished}}, Work: items}
}

func settling(s ...store.Settlement) store.Commit {
	c := working()
	c.Settled = s
	return c
}

// done settles a claimed item.
func done(w store.Work) store.Settlement {
	return store.Settlement{Exchange: w.Exchange, Attempt: w.Attempt}
}

// held is an item as it is when it has been claimed.
func held(w store.Work, attempt int, until time.Time) store.Work {
	w.Attempt, w.Until = attempt, until
	return w
}

func wantQueue(tb testing.TB, s store.Store, parked bool, want ...store.Work) {
	tb.Helper()
	got, err := s.Pending(deadline(tb), parked, 1000)
	if diff := cmp.Diff(want, got, nothing); err != nil || diff != "" {
		tb.Errorf("Pending(parked %t) error %v (-want +got):\n%s", parked, err, diff)
	}
}

func wantClaim(tb testing.TB, s store.Store, n int, lease time.Duration, want ...store.Work) {
	tb.Helper()
	got, err := s.Claim(deadline(tb), n, lease)
	if diff := cmp.Diff(want, got, nothing); err != nil || diff != "" {
		tb.Errorf("Claim() error %v (-want +got):\n%s", err, diff)
	}
}

func wantNextDue(tb testing.TB, s store.Store, want time.Time) {
	tb.Helper()
	got, ok, err := s.NextDue(deadline(tb))
	if err != nil || ok != !want.IsZero() || !got.Equal(want) {
		tb.Errorf("NextDue() = %v, ok %t, error %v; want %v", got, ok, err, want)
	}
}

// queueClock is a clock that stands at began.
func queueClock() *clock { return &clock{now: began} }

func testWork(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	wantNextDue(t, s, time.Time{})
	wantClaim(t, s, 10, time.Minute)
	c, w := exchanged("PAS1"), item("100001", 1)
	c.Work = []store.Work{w}
	commit(t, s, c)
	wantQueue(t, s, false, w)
	wantQueue(t, s, true)
	wantNextDue(t, s, began)

	other := start(t, db, store.Options{Chain: "other", Now: clock.Now})
	claimed := held(w, 1, began.Add(time.Minute))
	wantClaim(t, other, 10, time.Minute, claimed)
	wantQueue(t, s, false, claimed)
	wantNextDue(t, s, began.Add(time.Minute))
	commit(t, other, settling(done(claimed)))
	wantQueue(t, s, false)
	wantNextDue(t, s, time.Time{})
	verify(t, s, "main")
}

func testDue(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	var items []store.Work
	for i := range 6 {
		w := item(fmt.Sprint(i), 7*i%6)
		w.Due = began.Add(time.Duration(i/2) * time.Second)
		items = append(items, w)
	}
	commit(t, s, working(items[4], items[1], items[5], items[0], items[3], items[2]))
	slices.SortStableFunc(items, func(a, b store.Work) int { return a.Due.Compare(b.Due) })
	wantQueue(t, s, false, items...)
	until := began.Add(time.Hour)
	wantClaim(t, s, 0, time.Hour)
	wantClaim(t, s, 1, time.Hour, held(items[0], 1, until))
	wantClaim(t, s, 10, time.Hour, held(items[1], 1, until))
	wantNextDue(t, s, items[2].Due)
	clock.Move(2*time.Second - time.Microsecond)
	until = clock.Now().Add(time.Hour)
	wantClaim(t, s, 10, time.Hour, held(items[2], 1, until), held(items[3], 1, until))
	if got, err := s.Pending(deadline(t), false, 2); err != nil || len(got) != 2 || got[0].Exchange != items[4].Exchange {
		t.Errorf("Pending() with limit 2 = %d items, error %v; want the two that wait", len(got), err)
	}
}

func testLease(t *testing.T, db Database) {
	clock := queueClock()
	one := start(t, db, store.Options{Chain: "one", Now: clock.Now})
	two := start(t, db, store.Options{Chain: "two", Now: clock.Now})
	w := item("100001", 1)
	commit(t, one, working(w))
	wantClaim(t, one, 1, time.Minute, held(w, 1, began.Add(time.Minute)))
	clock.Move(time.Minute - time.Microsecond)
	wantClaim(t, two, 1, time.Minute)
	clock.Move(time.Microsecond)
	again := held(w, 2, began.Add(2*time.Minute))
	wantClaim(t, two, 1, time.Minute, again)

	// The first is late: the second has the item.
	commit(t, one, settling(done(held(w, 1, time.Time{}))))
	wantQueue(t, one, false, again)
	commit(t, two, settling(done(again)))
	wantQueue(t, one, false)
}

func testCrash(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	w := item("100001", 1)
	commit(t, s, working(w))
	wantClaim(t, s, 1, time.Minute, held(w, 1, began.Add(time.Minute)))
	stop(t, s)
	s = start(t, db, store.Options{Now: clock.Now})
	wantClaim(t, s, 1, time.Minute)
	clock.Move(time.Minute)
	wantClaim(t, s, 1, time.Minute, held(w, 2, began.Add(2*time.Minute)))
}

func testSamePatient(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	one, two, nobody := item("100001", 1), item("100001", 2), item("", 3)
	nobody.Patient = store.PatientKey{}
	commit(t, s, working(two, nobody))
	commit(t, s, working(one))
	until := began.Add(time.Minute)
	wantQueue(t, s, false, one, two, nobody)
	wantClaim(t, s, 3, time.Minute, held(one, 1, until), held(two, 1, until), held(nobody, 1, until))
	park := done(held(two, 1, until))
	park.Park, park.Reason = true, two.Reason
	commit(t, s, settling(park, done(held(one, 1, until))))
	two = held(two, 1, time.Time{})
	two.Parked = true
	wantQueue(t, s, true, two)
	wantQueue(t, s, false, held(nobody, 1, until))
}

func testAddAgain(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	w := item("100001", 1)
	commit(t, s, working(w))
	claimed := held(w, 1, began.Add(time.Minute))
	wantClaim(t, s, 1, time.Minute, claimed)
	again := w
	again.Kind, again.Due, again.Reason = store.LocalCopy, began.Add(time.Second), "again"
	claimed = held(again, 1, began.Add(time.Minute))
	again.Patient = store.PatientKey{}
	commit(t, s, working(again))
	wantQueue(t, s, false, claimed) // and the claim holds

	parked := done(claimed)
	parked.Park = true
	commit(t, s, settling(parked))
	commit(t, s, working(w))
	wantQueue(t, s, true)
	wantQueue(t, s, false, held(w, 1, time.Time{}))
}

func testAgainAndPark(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	w := item("100001", 1)
	commit(t, s, working(w))
	claimed := held(w, 1, began.Add(time.Minute))
	wantClaim(t, s, 1, time.Minute, claimed)
	again := done(claimed)
	again.Again, again.Reason = began.Add(time.Hour), "no answer"
	commit(t, s, settling(again))
	w.Due, w.Reason = again.Again, again.Reason
	wantQueue(t, s, false, held(w, 1, time.Time{}))
	wantNextDue(t, s, again.Again)

	clock.Move(time.Hour)
	wantClaim(t, s, 1, time.Minute, held(w, 2, clock.Now().Add(time.Minute)))
	park := done(held(w, 2, time.Time{}))
	park.Park, park.Reason = true, "refused"
	commit(t, s, settling(park))
	w.Reason = park.Reason
	parked := held(w, 2, time.Time{})
	parked.Parked = true
	wantQueue(t, s, true, parked)
	wantQueue(t, s, false)
	wantNextDue(t, s, time.Time{})
	clock.Move(time.Hour)
	wantClaim(t, s, 1, time.Minute)
	wantQueue(t, s, true, parked)
}

func testSettleOnce(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	w := item("100001", 1)
	commit(t, s, working(w))
	wantClaim(t, s, 1, time.Minute, held(w, 1, began.Add(time.Minute)))
	clock.Move(time.Hour)
	first, second := done(held(w, 1, time.Time{})), done(held(w, 1, time.Time{}))
	first.Again = clock.Now().Add(time.Hour)
	commit(t, s, settling(first, second))
	commit(t, s, settling(second))
	w.Due, w.Reason = first.Again, ""
	wantQueue(t, s, false, held(w, 1, time.Time{}))
}

func testSettleAnyAttempt(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	w := item("100001", 1)
	whoever := store.Settlement{Exchange: w.Exchange}
	commit(t, s, working(w))
	commit(t, s, settling(whoever)) // nobody
	wantQueue(t, s, false)

	commit(t, s, working(w))
	wantClaim(t, s, 1, time.Minute, held(w, 1, began.Add(time.Minute)))
	park := whoever
	park.Park = true
	commit(t, s, settling(park))
	w.Reason = ""
	parked := held(w, 1, time.Time{})
	parked.Parked = true
	wantQueue(t, s, true, parked)

	again := whoever // an operator may
	again.Again = began.Add(time.Second)
	commit(t, s, settling(again))
	w.Due = again.Again
	wantQueue(t, s, false, held(w, 1, time.Time{}))
	commit(t, s, settling(park))
	commit(t, s, settling(whoever))
	wantQueue(t, s, true)
	wantQueue(t, s, false)
}

func testQueueOrder(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	w := item("100001", 1)
	commit(t, s, working(w))
	claimed := held(w, 1, began.Add(time.Minute))
	wantClaim(t, s, 1, time.Minute, claimed)

	later := w
	later.Kind, later.Due = store.SixWeeks, began.Add(42*24*time.Hour)
	c := working(later)
	c.Settled = []store.Settlement{done(claimed)}
	commit(t, s, c)
	wantQueue(t, s, false, later) // anew: never claimed

	c = working(later, w)
	c.Settled = []store.Settlement{{Exchange: w.Exchange}}
	commit(t, s, c)
	wantQueue(t, s, false, w) // as was said last
}

func testResentWork(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	one, two := item("100001", 1), item("100002", 2)
	first, second := exchanged("PAS1"), exchanged("PAS1")
	first.Work = []store.Work{one}
	second.Work = []store.Work{two}
	second.Settled = []store.Settlement{done(one)}
	commit(t, s, first)
	wantDuplicate(t, s, second, first.Exchange)
	wantQueue(t, s, false, one)
}

func testLateWork(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	c := exchanged("PAS1")
	one, two := item("100001", 1), item("100002", 2)
	c.Work = []store.Work{one}
	commit(t, s, c)
	late := replied(c.Exchange, "second")
	late.Work = []store.Work{two}
	late.Settled = []store.Settlement{done(one)}
	if got := receipt(t, s, late); got.Status != store.AlreadyClosed {
		t.Errorf("Commit() status = %d, want AlreadyClosed", got.Status)
	}
	wantQueue(t, s, false)
}

func testHostileItems(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	long := strings.Repeat("x", 300)
	ids := []string{"a\x00b", "ab", "\x00", "caf\xe9", "caf\uFFFD", "\U0001F600", `'; drop table work; --"\`, long + "1", long + "2"}
	var want []store.Work
	for i, id := range ids {
		w := item(id, i)
		w.Patient.Authority, w.Reason = id, "\U0001F600'"
		commit(t, s, working(w))
		want = append(want, w.Fit())
	}
	wantQueue(t, s, false, want...)
	for i := range want {
		want[i] = held(want[i], 1, began.Add(time.Minute))
	}
	wantClaim(t, s, 100, time.Minute, want...)
}

func testWorkRejected(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	long := item("100001", 1)
	long.Reason = strings.Repeat("x", 201)
	wantRejected(t, s, map[string]store.Commit{
		"no exchange":  working(store.Work{Patient: key("100001"), Kind: store.Put, Due: began}),
		"long reason":  working(item("100002", 1), long),
		"two outcomes": settling(store.Settlement{Exchange: store.NewID(), Again: began, Park: true}),
	})
	wantQueue(t, s, false)
}

// testWorkers has two instances do thousands of items. Nobody's lease ends.
func testWorkers(t *testing.T, db Database) {
	clock := queueClock()
	stores := pair(t, db, store.Options{Now: clock.Now})
	const items, workers = 2000, 16
	together(workers, func(i int) {
		for n := i; n < items; n += workers * 10 {
			c := working()
			for m := n; m < min(n+workers*10, items); m += workers {
				c.Work = append(c.Work, item(fmt.Sprint(m), m))
			}
			commit(t, stores[i%2], c)
		}
	})
	var mu sync.Mutex
	times := make(map[store.ID]int)
	together(workers, func(i int) {
		for {
			claimed, err := stores[i%2].Claim(deadline(t), 7, time.Hour)
			if err != nil {
				t.Errorf("Claim() error = %v", err)
			}
			if len(claimed) == 0 {
				return
			}
			c := settling()
			mu.Lock()
			for _, w := range claimed {
				times[w.Exchange]++
				c.Settled = append(c.Settled, done(w))
			}
			mu.Unlock()
			commit(t, stores[i%2], c)
		}
	})
	// Claim may find less than there is while others claim: what they passed over is left.
	for left, err := stores[0].Claim(deadline(t), items, time.Hour); len(left) > 0 || err != nil; left, err = stores[0].Claim(deadline(t), items, time.Hour) {
		if err != nil {
			t.Fatalf("Claim() error = %v", err)
		}
		for _, w := range left {
			times[w.Exchange]++
			commit(t, stores[0], settling(done(w)))
		}
	}
	for n := range items {
		if got := times[exchangeID(n+1)]; got != 1 {
			t.Errorf("item %d was done %d times, want once", n, got)
		}
	}
	wantQueue(t, stores[0], false)
	verify(t, stores[0], "one")
	verify(t, stores[0], "two")
}

// testWorkAtOnce has two instances add the same items and settle them, in different orders.
func testWorkAtOnce(t *testing.T, db Database) {
	clock := queueClock()
	stores := pair(t, db, store.Options{Now: clock.Now})
	const items, rounds = 20, 10
	together(16, func(caller int) {
		for n := range rounds {
			c := working()
			for i := range items {
				w := item(fmt.Sprint(i), i)
				w.Due = began.Add(time.Duration(caller*rounds+n) * time.Second)
				c.Work = append(c.Work, w)
				c.Settled = append(c.Settled, store.Settlement{Exchange: w.Exchange, Park: n%2 == 0})
			}
			if caller%2 == 1 {
				slices.Reverse(c.Work)
				slices.Reverse(c.Settled)
			}
			commit(t, stores[caller%2], c)
		}
	})
	got, err := stores[0].Pending(deadline(t), false, 1000)
	if err != nil || len(got) != items {
		t.Fatalf("Pending() = %d items, error %v; want %d", len(got), err, items)
	}
	for _, w := range got { // a commit is done in one act, so one was the last for all
		if !w.Due.Equal(got[0].Due) {
			t.Errorf("items are due at %v and at %v, as two commits said", got[0].Due, w.Due)
		}
	}
	wantQueue(t, stores[0], true)
}
