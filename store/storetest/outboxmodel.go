package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"spinetrace/store"
)

// outbox is what a [store.Outbox] should be, in plain memory: letters in the order of their
// positions, which are learnt from the store.
type outbox []*posted

// posted is a letter, and the instance that has it while Until says so.
type posted struct {
	store.Letter
	holder int
}

func (o *outbox) commit(by int, now time.Time, c store.Commit) {
	for _, d := range c.Dispatched {
		o.dispatch(by, d)
	}
	for _, l := range c.Letters {
		same := func(p *posted) bool {
			return p.Exchange == l.Exchange && p.Destination == l.Destination && p.ControlID == l.ControlID
		}
		if !slices.ContainsFunc(*o, same) {
			*o = append(*o, &posted{Letter: waiting(l, now)})
		}
	}
}

func (o *outbox) dispatch(by int, d store.Dispatch) {
	for _, p := range *o {
		claimed := d.Attempt == p.Attempt && p.State == store.Waiting && !p.Until.IsZero() && p.holder == by
		decided := d.Attempt == 0 && p.State <= store.Parked
		if p.Position != d.Position || !claimed && !decided {
			continue
		}
		if d.Refused {
			p.Refusals++
		}
		if d.State == store.Waiting {
			p.Due = d.Due
		}
		if decided && d.State == store.Waiting {
			p.Attempt, p.Refusals = 0, 0
		}
		p.State, p.Until, p.Reason = d.State, time.Time{}, d.Reason
	}
}

func (o *outbox) in(state store.LetterState) []store.Letter {
	var letters []store.Letter
	for _, p := range *o {
		if p.State == state {
			letters = append(letters, p.Letter)
		}
	}
	return letters
}

func (o *outbox) next(by int, now time.Time, destination string, lease time.Duration) (l store.Letter, again time.Time) {
	var first *posted
	for _, p := range *o {
		if p.State != store.Waiting || p.Destination != destination {
			continue
		}
		if first == nil {
			first, again = p, p.Due
		}
		if p.holder != by && p.Until.After(again) {
			again = p.Until
		}
	}
	if first == nil || again.After(now) {
		return store.Letter{}, again
	}
	first.Attempt, first.Until, first.holder = first.Attempt+1, now.Add(lease), by
	return first.Letter, time.Time{}
}

// testOutboxModel compares two instances with an outbox in memory over random histories.
func testOutboxModel(t *testing.T, db Database) {
	clock := queueClock()
	stores := pair(t, db, store.Options{Now: clock.Now})
	destination := rapid.SampledFrom([]string{pas, "clerks"})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		drop(t, stores[0])
		var o outbox
		by := func() int { return rapid.IntRange(0, 1).Draw(rt, "instance") }
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(rt *rapid.T) {
				i, c := by(), outboxCommit(rt, run, clock.Now(), o)
				commit(t, stores[i], c)
				o.commit(i, clock.Now(), c)
			},
			"next": func(rt *rapid.T) {
				i, to, lease := by(), destination.Draw(rt, "to"), time.Duration(rapid.IntRange(1, 5).Draw(rt, "lease"))*time.Second
				want, wantAgain := o.next(i, clock.Now(), to, lease)
				got, again, err := stores[i].Next(deadline(t), to, lease)
				if diff := cmp.Diff(want, got); err != nil || diff != "" || !again.Equal(wantAgain) {
					rt.Fatalf("Next() again %v, want %v; error %v (-want +got):\n%s", again, wantAgain, err, diff)
				}
			},
			"wait": func(rt *rapid.T) {
				clock.Move(time.Duration(rapid.IntRange(1, 4).Draw(rt, "seconds")) * time.Second)
			},
			"": func(rt *rapid.T) { o.check(t, rt, stores[by()]) },
		})
	})
	verify(t, stores[0], "one")
	verify(t, stores[0], "two")
}

// outboxCommit makes changes to an outbox of few letters, most about letters that are there.
func outboxCommit(rt *rapid.T, run int, now time.Time, there outbox) store.Commit {
	c := posting()
	for range rapid.IntRange(0, min(2, len(there))).Draw(rt, "dispatched") {
		p := rapid.SampledFrom(there).Draw(rt, "letter")
		c.Dispatched = append(c.Dispatched, store.Dispatch{
			Position: p.Position,
			Attempt:  rapid.SampledFrom([]int{p.Attempt, p.Attempt, 0, 1, 2}).Draw(rt, "attempt"),
			State:    rapid.SampledFrom([]store.LetterState{store.Waiting, store.Waiting, store.Parked, store.Delivered, store.Dropped}).Draw(rt, "state"),
			Due:      now.Add(time.Duration(rapid.IntRange(-2, 3).Draw(rt, "in seconds")) * time.Second),
			Refused:  rapid.Bool().Draw(rt, "refused"),
			Reason:   rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "reason"),
		})
	}
	for range rapid.IntRange(0, 3).Draw(rt, "added") {
		l := letter(rapid.IntRange(0, 20).Draw(rt, "message"))
		l.Exchange[2], l.Exchange[3] = byte(run>>8), byte(run)
		l.Destination = rapid.SampledFrom([]string{pas, pas, "clerks"}).Draw(rt, "destination")
		l.Patient = rapid.SampledFrom([]store.PatientKey{{}, key("1"), {LocalID: "1"}}).Draw(rt, "patient")
		c.Letters = append(c.Letters, l)
	}
	return c
}

// check compares what can be read of the store's outbox, and learns the positions of what is new.
func (o *outbox) check(t *testing.T, rt *rapid.T, s store.Store) {
	for _, state := range []store.LetterState{store.Waiting, store.Parked} {
		got, err := s.Letters(deadline(t), state, 100)
		o.learn(state, got)
		if want := o.in(state); err != nil || !slices.Equal(want, got) {
			rt.Fatalf("Letters(%v) error %v (-want +got):\n%s", state, err, cmp.Diff(want, got))
		}
	}
	if len(*o) == 0 {
		return
	}
	p := rapid.SampledFrom(*o).Draw(rt, "any letter")
	got, ok, err := s.Letter(deadline(t), p.Position)
	if diff := cmp.Diff(p.Letter, got); !ok || err != nil || diff != "" {
		rt.Fatalf("Letter() ok = %t, error %v (-want +got):\n%s", ok, err, diff)
	}
}

// learn notes positions, which are later than those that were known before.
func (o *outbox) learn(state store.LetterState, got []store.Letter) {
	n, last := 0, int64(0)
	for _, p := range *o {
		if p.State == state && n < len(got) {
			if p.Position == 0 && got[n].Position > last {
				p.Position = got[n].Position
			}
			n++
		}
		last = max(last, p.Position)
	}
}

// drop empties the outbox for the next history.
func drop(t *testing.T, s store.Store) {
	c := dispatching()
	for _, state := range []store.LetterState{store.Waiting, store.Parked} {
		left, err := s.Letters(deadline(t), state, 1000)
		if err != nil {
			t.Fatalf("Letters() error = %v", err)
		}
		for _, l := range left {
			c.Dispatched = append(c.Dispatched, store.Dispatch{Position: l.Position, State: store.Dropped})
		}
	}
	commit(t, s, c)
}
