package storetest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"spinetrace/store"
)

// queue is what a [store.Queue] should be, in plain memory.
type queue map[store.ID]store.Work

func (q queue) commit(c store.Commit) {
	for _, s := range c.Settled {
		q.settle(s)
	}
	for _, w := range c.Work {
		q.add(w)
	}
}

func (q queue) add(w store.Work) {
	if was, ok := q[w.Exchange]; ok {
		w.Patient, w.Attempt, w.Until = was.Patient, was.Attempt, was.Until
	}
	q[w.Exchange] = w
}

func (q queue) settle(s store.Settlement) {
	w, ok := q[s.Exchange]
	if !ok || s.Attempt != 0 && (s.Attempt != w.Attempt || w.Until.IsZero()) {
		return
	}
	if !s.Park && s.Again.IsZero() {
		delete(q, s.Exchange)
		return
	}
	w.Until, w.Parked, w.Reason = time.Time{}, s.Park, s.Reason
	if !s.Park {
		w.Due = s.Again
	}
	q[s.Exchange] = w
}

// pending returns items as Claim would come to them.
func (q queue) pending(parked bool) []store.Work {
	var items []store.Work
	for _, w := range q {
		if w.Parked == parked {
			items = append(items, w)
		}
	}
	slices.SortFunc(items, func(a, b store.Work) int {
		if c := a.Ready().Compare(b.Ready()); c != 0 {
			return c
		}
		return bytes.Compare(a.Exchange[:], b.Exchange[:])
	})
	return items
}

func (q queue) claim(now time.Time, n int, lease time.Duration) []store.Work {
	var items []store.Work
	for _, w := range q.pending(false) {
		if len(items) == n || w.Ready().After(now) {
			break
		}
		w.Attempt, w.Until = w.Attempt+1, now.Add(lease)
		q[w.Exchange] = w
		items = append(items, w)
	}
	return items
}

// testQueueModel compares two instances with a queue in memory over random histories.
func testQueueModel(t *testing.T, db Database) {
	clock := queueClock()
	stores := pair(t, db, store.Options{Now: clock.Now})
	rapid.Check(t, func(rt *rapid.T) {
		drain(t, stores[0])
		q := make(queue)
		by := func() store.Store { return stores[rapid.IntRange(0, 1).Draw(rt, "instance")] }
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(rt *rapid.T) {
				c := queueCommit(rt, clock.Now(), rapid.SampledFrom(slices.Concat(q.pending(false), q.pending(true), []store.Work{item("1", 1)})))
				commit(t, by(), c)
				q.commit(c)
			},
			"claim": func(rt *rapid.T) {
				n, lease := rapid.IntRange(0, 3).Draw(rt, "n"), time.Duration(rapid.IntRange(0, 5).Draw(rt, "lease"))*time.Second
				want := q.claim(clock.Now(), n, lease)
				got, err := by().Claim(deadline(t), n, lease)
				if diff := cmp.Diff(want, got, nothing); err != nil || diff != "" {
					rt.Fatalf("Claim() error %v (-want +got):\n%s", err, diff)
				}
			},
			"wait": func(rt *rapid.T) {
				clock.Move(time.Duration(rapid.IntRange(1, 4).Draw(rt, "seconds")) * time.Second)
			},
			"": func(rt *rapid.T) { q.check(t, rt, by()) },
		})
	})
	verify(t, stores[0], "one")
	verify(t, stores[0], "two")
}

// nothing makes no difference between no items and none.
var nothing = cmp.Transformer("nothing", func(items []store.Work) []store.Work { return append([]store.Work{}, items...) })

// queueCommit makes changes to a queue of few messages, some about items that are there.
func queueCommit(rt *rapid.T, now time.Time, there *rapid.Generator[store.Work]) store.Commit {
	c := working()
	at := rapid.Custom(func(rt *rapid.T) time.Time {
		return now.Add(time.Duration(rapid.IntRange(-2, 6).Draw(rt, "in seconds")) * time.Second)
	})
	reason := rapid.SampledFrom([]string{"", "a", "b"})
	for range rapid.IntRange(0, 2).Draw(rt, "settled") {
		w := there.Draw(rt, "item")
		s := store.Settlement{Exchange: w.Exchange, Attempt: rapid.SampledFrom([]int{w.Attempt, w.Attempt, 0, 1, 2}).Draw(rt, "attempt")}
		switch rapid.IntRange(0, 2).Draw(rt, "end") {
		case 1:
			s.Again, s.Reason = at.Draw(rt, "again"), reason.Draw(rt, "reason")
		case 2:
			s.Park, s.Reason = true, reason.Draw(rt, "reason")
		}
		c.Settled = append(c.Settled, s)
	}
	for range rapid.IntRange(0, 3).Draw(rt, "added") {
		w := item("", rapid.IntRange(0, 5).Draw(rt, "message"))
		w.Patient = rapid.SampledFrom([]store.PatientKey{{}, key("1"), {LocalID: "1"}}).Draw(rt, "patient")
		w.Kind, w.Due = rapid.SampledFrom([]store.WorkKind{store.Unfinished, store.SixWeeks}).Draw(rt, "kind"), at.Draw(rt, "due")
		w.Reason = reason.Draw(rt, "reason")
		c.Work = append(c.Work, w)
	}
	return c
}

// check compares what can be read of the store's queue.
func (q queue) check(t *testing.T, rt *rapid.T, s store.Store) {
	for _, parked := range []bool{false, true} {
		got, err := s.Pending(deadline(t), parked, 100)
		if diff := cmp.Diff(q.pending(parked), got, nothing); err != nil || diff != "" {
			rt.Fatalf("Pending(parked %t) error %v (-want +got):\n%s", parked, err, diff)
		}
	}
	var want time.Time
	if waiting := q.pending(false); len(waiting) > 0 {
		want = waiting[0].Ready()
	}
	if got, ok, err := s.NextDue(deadline(t)); err != nil || ok == want.IsZero() || !got.Equal(want) {
		rt.Fatalf("NextDue() = %v, ok %t, error %v; want %v", got, ok, err, want)
	}
}

// drain empties the queue for the next history.
func drain(t *testing.T, s store.Store) {
	c := working()
	for _, parked := range []bool{false, true} {
		left, err := s.Pending(deadline(t), parked, 100)
		if err != nil {
			t.Fatalf("Pending() error = %v", err)
		}
		for _, w := range left {
			c.Settled = append(c.Settled, store.Settlement{Exchange: w.Exchange})
		}
	}
	commit(t, s, c)
}
