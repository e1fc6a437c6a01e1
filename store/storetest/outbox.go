package storetest

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

var postings = map[string]func(*testing.T, Database){
	"keeps a letter, also when it is delivered":            testLetter,
	"gives letters out in the order in which they came":    testLetterOrder,
	"adds a letter once":                                   testLetterTwice,
	"gives nobody a letter while another chain has one":    testLetterLease,
	"gives a letter again to the chain that died with it":  testLetterCrash,
	"tries again when it is due, and nothing else before":  testLetterAgain,
	"parks a letter, and goes on with those behind it":     testLetterParked,
	"does what an operator decides":                        testOperator,
	"counts what waits and what is parked":                 testPiles,
	"gives no earlier letter out beside one that is taken": testEarlierLetter,
	"does not take an old claim for a new one":             testOldAttempt,
	"is not changed by a message that came before":         testResentLetters,
	"is settled but not added to by a commit too late":     testLateLetters,
	"knows what a patient's updates were":                  testTold,
	"forgets letters that ended long ago":                  testLetterMemory,
	"keeps hostile names apart":                            testHostileLetters,
	"refuses what no store can keep":                       testLetterRejected,
	"keeps the order between two instances":                testRelays,
	"takes the same letters from two instances at once":    testLettersAtOnce,
	"is what an outbox in memory is":                       testOutboxModel,
}

// pas is where most letters in these tests go.
const pas = "pas"

// letter is an update of a number, to pas.
func letter(n int) store.Letter {
	return store.Letter{
		Destination: pas, Exchange: exchangeID(n + 1), ControlID: fmt.Sprint("L", n), Kind: store.Update, Patient: key("100001"),
		Basis: store.Print{byte(n), 15: 1}, Mark: store.Print{byte(n), 15: 2},
	}
}

// waiting is a letter as it is when it has been added.
func waiting(l store.Letter, at time.Time) store.Letter {
	l.At, l.Due, l.State = at, at, store.Waiting
	return l
}

// taken is a letter as it is when it has been taken.
func taken(l store.Letter, attempt int, until time.Time) store.Letter {
	l.Attempt, l.Until = attempt, until
	return l
}

// dispatched is a letter as it is when an attempt has ended.
func dispatched(l store.Letter, state store.LetterState, reason string) store.Letter {
	l.State, l.Until, l.Reason = state, time.Time{}, reason
	return l
}

// posting is a commit that adds letters and nothing else of note.
func posting(letters ...store.Letter) store.Commit {
	return store.Commit{Exchange: store.NewID(), Entries: []store.Entry{{Kind: store.Queued}}, Letters: letters}
}

func dispatching(d ...store.Dispatch) store.Commit {
	c := posting()
	c.Entries[0].Kind, c.Dispatched = store.Tried, d
	return c
}

// ending says how the attempt ended that took l.
func ending(l store.Letter, state store.LetterState) store.Dispatch {
	return store.Dispatch{Position: l.Position, Attempt: l.Attempt, State: state}
}

// unplaced makes no difference between positions, as some may have been left out, nor between no
// letters and none.
var unplaced = cmp.Transformer("unplaced", func(letters []store.Letter) []store.Letter {
	all := append([]store.Letter{}, letters...)
	for i := range all {
		all[i].Position = 0
	}
	return all
})

// wantLetters returns the letters in a state, which come by position.
func wantLetters(tb testing.TB, s store.Store, state store.LetterState, want ...store.Letter) []store.Letter {
	tb.Helper()
	got, err := s.Letters(deadline(tb), state, 1000)
	if diff := cmp.Diff(want, got, unplaced); err != nil || diff != "" {
		tb.Errorf("Letters(%v) error %v (-want +got):\n%s", state, err, diff)
	}
	byPosition := func(a, b store.Letter) int { return int(a.Position - b.Position) }
	if !slices.IsSortedFunc(got, byPosition) {
		tb.Errorf("Letters(%v) do not come by position", state)
	}
	return got
}

// wantNext takes a letter for a minute, and returns it with its position.
func wantNext(tb testing.TB, s store.Store, want store.Letter) store.Letter {
	tb.Helper()
	got, again, err := s.Next(deadline(tb), want.Destination, time.Minute)
	if diff := cmp.Diff([]store.Letter{want}, []store.Letter{got}, unplaced); err != nil || diff != "" || !again.IsZero() {
		tb.Fatalf("Next() again %v, error %v (-want +got):\n%s", again, err, diff)
	}
	known, ok, err := s.Letter(deadline(tb), got.Position)
	if diff := cmp.Diff(got, known); err != nil || !ok || diff != "" {
		tb.Errorf("Letter() ok = %t, error %v, differs from what Next gave (-want +got):\n%s", ok, err, diff)
	}
	return got
}

func wantNoNext(tb testing.TB, s store.Store, destination string, again time.Time) {
	tb.Helper()
	got, when, err := s.Next(deadline(tb), destination, time.Minute)
	if err != nil || got != (store.Letter{}) || !when.Equal(again) {
		tb.Errorf("Next() = letter %d, again %v, error %v; want none, again %v", got.Position, when, err, again)
	}
}

func testLetter(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	wantNoNext(t, s, pas, time.Time{})
	wantLetters(t, s, store.Waiting)
	c, l := exchanged("PAS1"), letter(1)
	c.Letters = []store.Letter{l}
	commit(t, s, c)
	l = waiting(l, began)
	wantLetters(t, s, store.Waiting, l)
	if got, _ := s.Letters(deadline(t), store.Waiting, 0); len(got) != 0 {
		t.Errorf("Letters() with limit 0 = %d letters", len(got))
	}

	other := start(t, db, store.Options{Chain: "other", Now: clock.Now})
	clock.Move(time.Second)
	l = wantNext(t, other, taken(l, 1, clock.Now().Add(time.Minute)))
	wantLetters(t, s, store.Waiting, l)
	end := ending(l, store.Delivered)
	end.Reason, end.Due = "AA", clock.Now()
	commit(t, other, dispatching(end))
	wantLetters(t, s, store.Waiting)
	l = dispatched(l, store.Delivered, "AA")
	wantLetters(t, s, store.Delivered, l)
	wantNoNext(t, s, pas, time.Time{})
	if got, ok, err := s.Letter(deadline(t), l.Position); !ok || err != nil || got != l {
		t.Errorf("Letter() = %+v, ok %t, error %v; want %+v", got, ok, err, l)
	}
	if got, ok, err := s.Letter(deadline(t), l.Position+1000); ok || err != nil || got != (store.Letter{}) {
		t.Errorf("Letter() of nowhere: ok = %t, error %v; want none", ok, err)
	}
	verify(t, s, "main")
	verify(t, s, "other")
}

// testLetterOrder adds letters in an order that is not that of their keys.
func testLetterOrder(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	var want, clerks []store.Letter
	for i := range 12 {
		l := letter(7 * i % 12)
		c := posting(l, letter(100+11*i%12))
		for _, l := range c.Letters {
			want = append(want, waiting(l, began))
		}
		if i%3 == 0 {
			l.Destination = "clerks" // with the same control id
			c.Letters = append(c.Letters, l)
			clerks = append(clerks, waiting(l, began))
		}
		commit(t, s, c)
	}
	for _, list := range [][]store.Letter{want, clerks} {
		for _, l := range list {
			got := wantNext(t, s, taken(l, 1, began.Add(time.Minute)))
			commit(t, s, dispatching(ending(got, store.Delivered)))
		}
	}
	wantNoNext(t, s, pas, time.Time{})
	wantNoNext(t, s, "clerks", time.Time{})
	wantNoNext(t, s, "nobody", time.Time{})
}

func testLetterTwice(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	one, two := letter(1), letter(1)
	two.ControlID = "another"
	commit(t, s, posting(one, two, one))
	clock.Move(time.Second)
	again := one
	again.Kind, again.Patient, again.Mark = store.Forwarded, key("100002"), store.Print{}
	commit(t, s, posting(again))
	wantLetters(t, s, store.Waiting, waiting(one, began), waiting(two, began))

	one = wantNext(t, s, taken(waiting(one, began), 1, clock.Now().Add(time.Minute)))
	commit(t, s, posting(again))
	commit(t, s, dispatching(ending(one, store.Delivered)))
	commit(t, s, posting(again)) // also when it has long been delivered
	wantLetters(t, s, store.Waiting, waiting(two, began))
	wantLetters(t, s, store.Delivered, dispatched(one, store.Delivered, ""))
}

func testLetterLease(t *testing.T, db Database) {
	clock := queueClock()
	one := start(t, db, store.Options{Chain: "one", Now: clock.Now})
	two := start(t, db, store.Options{Chain: "two", Now: clock.Now})
	first, second := waiting(letter(1), began), waiting(letter(2), began)
	commit(t, one, posting(letter(1), letter(2)))
	held := wantNext(t, one, taken(first, 1, began.Add(time.Minute)))
	wantNoNext(t, two, pas, held.Until)
	clock.Move(time.Minute - time.Microsecond)
	wantNoNext(t, two, pas, held.Until)
	clock.Move(time.Microsecond)
	again := wantNext(t, two, taken(first, 2, began.Add(2*time.Minute)))
	wantNoNext(t, one, pas, again.Until)

	// The first is late: the second has the letter.
	commit(t, one, dispatching(ending(held, store.Dropped)))
	wantLetters(t, one, store.Waiting, again, second)

	// The second's time has merely run out: what it says counts, once.
	clock.Move(time.Hour)
	commit(t, two, dispatching(ending(again, store.Delivered), ending(again, store.Dropped)))
	commit(t, two, dispatching(ending(again, store.Dropped)))
	wantLetters(t, one, store.Delivered, dispatched(again, store.Delivered, ""))
	wantNext(t, one, taken(second, 1, clock.Now().Add(time.Minute)))
}

func testLetterCrash(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	other := start(t, db, store.Options{Chain: "other", Now: clock.Now})
	l := waiting(letter(1), began)
	commit(t, s, posting(letter(1)))
	wantNext(t, s, taken(l, 1, began.Add(time.Minute)))
	stop(t, s)
	s = start(t, db, store.Options{Now: clock.Now})
	wantNoNext(t, other, pas, began.Add(time.Minute))
	clock.Move(time.Second)
	wantNext(t, s, taken(l, 2, clock.Now().Add(time.Minute)))
	wantNoNext(t, other, pas, clock.Now().Add(time.Minute))
}

func testLetterAgain(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	first, second := waiting(letter(1), began), waiting(letter(2), began)
	commit(t, s, posting(letter(1), letter(2)))
	first = wantNext(t, s, taken(first, 1, began.Add(time.Minute)))
	end := ending(first, store.Waiting)
	end.Due, end.Refused, end.Reason = began.Add(time.Hour), true, "not now"
	commit(t, s, dispatching(end))
	first = dispatched(first, store.Waiting, "not now")
	first.Due, first.Refusals = end.Due, 1
	wantLetters(t, s, store.Waiting, first, second)
	wantNoNext(t, s, pas, end.Due)
	clock.Move(time.Hour - time.Microsecond)
	wantNoNext(t, s, pas, end.Due)

	clock.Move(time.Microsecond)
	first = wantNext(t, s, taken(first, 2, clock.Now().Add(time.Minute)))
	end = ending(first, store.Waiting)
	end.Due = clock.Now()
	commit(t, s, dispatching(end))
	first = dispatched(first, store.Waiting, "")
	first.Due = end.Due
	first = wantNext(t, s, taken(first, 3, clock.Now().Add(time.Minute)))
	if first.Refusals != 1 {
		t.Errorf("%d refusals, want 1: the other attempts were not refused", first.Refusals)
	}
}

func testLetterParked(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	first, second := waiting(letter(1), began), waiting(letter(2), began)
	commit(t, s, posting(letter(1), letter(2)))
	first = wantNext(t, s, taken(first, 1, began.Add(time.Minute)))
	end := ending(first, store.Parked)
	end.Reason = "refused"
	commit(t, s, dispatching(end))
	wantLetters(t, s, store.Parked, dispatched(first, store.Parked, "refused"))
	second = wantNext(t, s, taken(second, 1, began.Add(time.Minute)))
	commit(t, s, dispatching(ending(second, store.Delivered)))
	clock.Move(time.Hour)
	wantNoNext(t, s, pas, time.Time{})
}

func testPiles(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	if piles, err := s.Piles(deadline(t)); len(piles) != 0 || err != nil {
		t.Errorf("Piles() of an empty outbox = %v, %v", piles, err)
	}
	other := letter(4)
	other.Destination = "forward"
	commit(t, s, posting(letter(1), letter(2)))
	clock.Move(time.Hour)
	commit(t, s, posting(letter(3), other))
	first := wantNext(t, s, taken(waiting(letter(1), began), 1, clock.Now().Add(time.Minute)))
	commit(t, s, dispatching(ending(first, store.Parked)))
	second := wantNext(t, s, taken(waiting(letter(2), began), 1, clock.Now().Add(time.Minute)))
	third := second.Position + 1
	want := []store.Pile{
		{Destination: "forward", State: store.Waiting, Letters: 1, First: third + 1, Oldest: clock.Now()},
		{Destination: pas, State: store.Waiting, Letters: 2, First: second.Position, Oldest: began},
		{Destination: pas, State: store.Parked, Letters: 1, First: first.Position, Oldest: began},
	}
	wantPiles(t, s, want...)

	// What has ended is not counted.
	commit(t, s, dispatching(ending(second, store.Delivered), store.Dispatch{Position: first.Position, State: store.Dropped}))
	wantPiles(t, s, want[0], store.Pile{Destination: pas, State: store.Waiting, Letters: 1, First: third, Oldest: clock.Now()})
}

func wantPiles(t *testing.T, s store.Store, want ...store.Pile) {
	t.Helper()
	got, err := s.Piles(deadline(t))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Piles() error %v (-want +got):\n%s", err, diff)
	}
}

func testOperator(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	operator := start(t, db, store.Options{Chain: "main.cli", Now: clock.Now})
	l := waiting(letter(1), began)
	commit(t, s, posting(letter(1)))
	l = wantNext(t, s, taken(l, 1, began.Add(time.Minute)))
	park := ending(l, store.Parked)
	park.Refused = true
	commit(t, s, dispatching(park))
	l = dispatched(l, store.Parked, "")
	l.Refusals = 1
	wantLetters(t, s, store.Parked, l)

	again := store.Dispatch{Position: l.Position, State: store.Waiting, Due: began.Add(time.Second), Reason: "asked for"}
	commit(t, operator, dispatching(again))
	anew := dispatched(l, store.Waiting, "asked for")
	anew.Due, anew.Attempt, anew.Refusals = again.Due, 0, 0
	wantLetters(t, s, store.Waiting, anew)
	clock.Move(time.Second)
	held := wantNext(t, s, taken(anew, 1, clock.Now().Add(time.Minute)))

	// Also while somebody has it: what that one says of its attempt then does nothing.
	commit(t, operator, dispatching(store.Dispatch{Position: l.Position, State: store.Parked}))
	commit(t, s, dispatching(ending(held, store.Delivered)))
	parked := dispatched(held, store.Parked, "")
	wantLetters(t, s, store.Parked, parked)
	commit(t, operator, dispatching(store.Dispatch{Position: l.Position, State: store.Dropped, Reason: "wrong"}))
	dropped := dispatched(parked, store.Dropped, "wrong")
	commit(t, operator, dispatching(again, park, store.Dispatch{Position: l.Position, State: store.Delivered}))
	wantLetters(t, s, store.Dropped, dropped)
	wantLetters(t, s, store.Waiting)
	wantLetters(t, s, store.Parked)
	commit(t, operator, dispatching(store.Dispatch{Position: math.MaxInt64, State: store.Dropped})) // nobody's
}

func testEarlierLetter(t *testing.T, db Database) {
	clock := queueClock()
	one := start(t, db, store.Options{Chain: "one", Now: clock.Now})
	two := start(t, db, store.Options{Chain: "two", Now: clock.Now})
	commit(t, one, posting(letter(1), letter(2)))
	first := wantNext(t, one, taken(waiting(letter(1), began), 1, began.Add(time.Minute)))
	commit(t, one, dispatching(ending(first, store.Parked)))
	second := wantNext(t, one, taken(waiting(letter(2), began), 1, began.Add(time.Minute)))
	commit(t, two, dispatching(store.Dispatch{Position: first.Position, State: store.Waiting, Due: began}))
	wantNoNext(t, two, pas, second.Until)
	commit(t, one, dispatching(ending(second, store.Delivered)))
	wantNext(t, two, taken(waiting(letter(1), began), 1, began.Add(time.Minute)))
}

// testOldAttempt: counts begin anew at an operator's word, so that claims of two chains may have the
// same.
func testOldAttempt(t *testing.T, db Database) {
	clock := queueClock()
	one := start(t, db, store.Options{Chain: "one", Now: clock.Now})
	two := start(t, db, store.Options{Chain: "two", Now: clock.Now})
	commit(t, one, posting(letter(1)))
	old := wantNext(t, one, taken(waiting(letter(1), began), 1, began.Add(time.Minute)))
	commit(t, two, dispatching(store.Dispatch{Position: old.Position, State: store.Waiting, Due: began}))
	held := wantNext(t, two, old)
	commit(t, one, dispatching(ending(old, store.Dropped)))
	wantLetters(t, one, store.Waiting, held)
	commit(t, two, dispatching(ending(held, store.Delivered)))
	wantLetters(t, one, store.Waiting)
}

func testResentLetters(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	first, second := exchanged("PAS1"), exchanged("PAS1")
	first.Letters = []store.Letter{letter(1)}
	commit(t, s, first)
	held := wantNext(t, s, taken(waiting(letter(1), began), 1, began.Add(time.Minute)))
	second.Letters = []store.Letter{letter(2)}
	second.Dispatched = []store.Dispatch{ending(held, store.Delivered)}
	wantDuplicate(t, s, second, first.Exchange)
	wantLetters(t, s, store.Waiting, held)
}

func testLateLetters(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	c := exchanged("PAS1")
	c.Letters = []store.Letter{letter(1)}
	commit(t, s, c)
	held := wantNext(t, s, taken(waiting(letter(1), began), 1, began.Add(time.Minute)))
	late := replied(c.Exchange, "second")
	late.Letters = []store.Letter{letter(2)}
	late.Dispatched = []store.Dispatch{ending(held, store.Delivered)}
	if got := receipt(t, s, late); got.Status != store.AlreadyClosed {
		t.Errorf("Commit() status = %d, want AlreadyClosed", got.Status)
	}
	wantLetters(t, s, store.Waiting)
	wantLetters(t, s, store.Delivered, dispatched(held, store.Delivered, ""))
}

func testTold(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	var want []store.Letter
	for n, change := range []func(*store.Letter){
		func(*store.Letter) {},
		func(l *store.Letter) { l.Kind = store.Forwarded },
		func(l *store.Letter) { l.Patient = key("100002") },
		func(l *store.Letter) { l.Patient.Authority = "" },
		func(l *store.Letter) { l.Destination = "clerks" },
		func(*store.Letter) {},
		func(*store.Letter) {},
	} {
		l := letter(n)
		change(&l)
		commit(t, s, posting(l))
		if l.Kind == store.Update && l.Patient == key("100001") && l.Destination == pas {
			want = append(want, waiting(l, clock.Now()))
		}
		clock.Move(time.Second)
	}
	first := wantNext(t, s, taken(want[0], 1, clock.Now().Add(time.Minute)))
	commit(t, s, dispatching(ending(first, store.Delivered)))
	want[0] = dispatched(first, store.Delivered, "")
	slices.Reverse(want)
	for _, tt := range []struct {
		since time.Time
		limit int
		want  []store.Letter
	}{
		{began.Add(-time.Hour), 10, want}, {began, 10, want}, {began.Add(time.Microsecond), 10, want[:2]}, {began, 2, want[:2]},
		{want[0].At, 10, want[:1]}, {clock.Now(), 10, nil}, {time.Time{}, 0, nil},
	} {
		got, err := s.Told(deadline(t), pas, key("100001"), tt.since, tt.limit)
		if diff := cmp.Diff(tt.want, got, unplaced); err != nil || diff != "" {
			t.Errorf("Told(since %v, limit %d) error %v (-want +got):\n%s", tt.since, tt.limit, err, diff)
		}
	}
}

// testLetterMemory has a store purge at its start.
func testLetterMemory(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	commit(t, s, posting(letter(0), letter(1), letter(2), letter(3)))
	all := wantLetters(t, s, store.Waiting, waiting(letter(0), began), waiting(letter(1), began), waiting(letter(2), began), waiting(letter(3), began))
	end := func(n int, state store.LetterState) store.Letter {
		commit(t, s, dispatching(store.Dispatch{Position: all[n].Position, State: state}))
		return dispatched(all[n], state, "")
	}
	end(0, store.Delivered)
	end(1, store.Dropped)
	parked := end(2, store.Parked)
	clock.Move(time.Second)
	commit(t, s, posting(letter(4)))
	all = append(all, wantLetters(t, s, store.Waiting, all[3], waiting(letter(4), clock.Now()))[1])
	delivered := end(4, store.Delivered)
	clock.Move(store.LetterMemory)
	stop(t, s)
	s = start(t, db, store.Options{Now: clock.Now})
	within := deadline(t)
	for _, l := range all[:2] {
		for _, ok, err := s.Letter(within, l.Position); ok || err != nil; _, ok, err = s.Letter(within, l.Position) {
			if err != nil {
				t.Fatalf("letter %d is kept for ever: %v", l.Position, err)
			}
			runtime.Gosched()
		}
	}
	wantLetters(t, s, store.Waiting, all[3])
	wantLetters(t, s, store.Parked, parked)
	wantLetters(t, s, store.Delivered, delivered)
	wantLetters(t, s, store.Dropped)
	commit(t, s, posting(letter(0))) // it is a new one
	if got := wantLetters(t, s, store.Waiting, all[3], waiting(letter(0), clock.Now())); got[1].Position <= all[4].Position {
		t.Errorf("position %d was used again", got[1].Position)
	}
}

func testHostileLetters(t *testing.T, db Database) {
	clock := queueClock()
	s := start(t, db, store.Options{Now: clock.Now})
	long := strings.Repeat("x", 300)
	names := []string{"a\x00b", "ab", "\x00", "caf\xe9", "caf\uFFFD", "\U0001F600", `'; drop table outbox; --"\`, long + "1", long + "2"}
	var want []store.Letter
	for _, name := range names {
		l := letter(1)
		l.ControlID, l.Patient = name, store.PatientKey{Authority: name, LocalID: name}
		commit(t, s, posting(l))
		want = append(want, waiting(l.Fit(), began))
		if told, err := s.Told(deadline(t), pas, l.Patient, began, 10); err != nil || len(told) != 1 || told[0].ControlID != l.Fit().ControlID {
			t.Errorf("Told() = %d letters, error %v; want its own", len(told), err)
		}
	}
	nobody := letter(2)
	nobody.Patient = store.PatientKey{}
	commit(t, s, posting(nobody))
	all := wantLetters(t, s, store.Waiting, append(want, waiting(nobody, began))...)
	d := store.Dispatch{Position: all[0].Position, State: store.Parked, Reason: "\U0001F600'", Due: time.Date(1e6, 1, 1, 0, 0, 0, 0, time.UTC)}
	commit(t, s, dispatching(d))
	wantLetters(t, s, store.Parked, dispatched(want[0], store.Parked, d.Reason))
}

func testLetterRejected(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	nowhere, loud := letter(1), letter(1)
	nowhere.Destination, loud.Destination = "", "PAS"
	wantRejected(t, s, map[string]store.Commit{
		"no destination": posting(letter(2), nowhere),
		"no short word":  posting(loud),
		"no letter":      dispatching(store.Dispatch{State: store.Delivered}),
		"long reason":    dispatching(store.Dispatch{Position: 1, State: store.Parked, Reason: strings.Repeat("x", 201)}),
		"no time":        dispatching(store.Dispatch{Position: 1, State: store.Waiting}),
	})
	wantLetters(t, s, store.Waiting)
}

// testRelays has two instances deliver to two destinations at once. Nobody's lease ends.
func testRelays(t *testing.T, db Database) {
	clock := queueClock()
	stores := pair(t, db, store.Options{Now: clock.Now})
	destinations := []string{pas, "clerks"}
	const letters = 60
	for n := range letters {
		l := letter(letters - n)
		l.Destination = destinations[n%2]
		commit(t, stores[n%2], posting(l))
	}
	var mu sync.Mutex
	busy, delivered := make(map[string]int), make(map[string][]store.ID)
	together(4, func(i int) {
		s, destination := stores[i%2], destinations[i/2]
		for {
			l, again, err := s.Next(deadline(t), destination, time.Hour)
			if err != nil {
				t.Errorf("Next() error = %v", err)
				return
			}
			if l == (store.Letter{}) && again.IsZero() {
				return
			}
			if l == (store.Letter{}) {
				runtime.Gosched()
				continue
			}
			mu.Lock()
			if busy[destination]++; busy[destination] > 1 {
				t.Errorf("two instances have letters to %s", destination)
			}
			delivered[destination] = append(delivered[destination], l.Exchange)
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			busy[destination]--
			mu.Unlock()
			commit(t, s, dispatching(ending(l, store.Delivered)))
		}
	})
	for _, destination := range destinations {
		got := delivered[destination]
		descend := func(a, b store.ID) int { return -slices.Compare(a[:], b[:]) }
		if len(got) != letters/2 || !slices.IsSortedFunc(got, descend) {
			t.Errorf("%d letters to %s were delivered, in order %t; want %d, in order", len(got), destination, slices.IsSortedFunc(got, descend), letters/2)
		}
	}
	verify(t, stores[0], "one")
	verify(t, stores[0], "two")
}

// testLettersAtOnce has two instances add the same letters and settle others, in different orders.
func testLettersAtOnce(t *testing.T, db Database) {
	clock := queueClock()
	stores := pair(t, db, store.Options{Now: clock.Now})
	const letters, rounds = 20, 10
	old := posting()
	for i := range letters {
		old.Letters = append(old.Letters, letter(1000+i))
	}
	commit(t, stores[0], old)
	there, err := stores[0].Letters(deadline(t), store.Waiting, 1000)
	if err != nil || len(there) != letters {
		t.Fatalf("Letters() = %d letters, error %v; want %d", len(there), err, letters)
	}
	together(16, func(caller int) {
		for n := range rounds {
			c := posting()
			for i := range letters {
				c.Letters = append(c.Letters, letter(n*letters+i))
				c.Dispatched = append(c.Dispatched, store.Dispatch{Position: there[i].Position, State: store.Waiting, Due: began.Add(time.Duration(caller*rounds+n) * time.Second)})
			}
			if caller%2 == 1 {
				slices.Reverse(c.Letters)
				slices.Reverse(c.Dispatched)
			}
			commit(t, stores[caller%2], c)
		}
	})
	got, err := stores[0].Letters(deadline(t), store.Waiting, 1000)
	if err != nil || len(got) != letters+letters*rounds {
		t.Fatalf("Letters() = %d letters, error %v; want %d", len(got), err, letters+letters*rounds)
	}
	for _, l := range got[:letters] { // a commit is done in one act, so one was the last for all
		if !l.Due.Equal(got[0].Due) {
			t.Errorf("letters are due at %v and at %v, as two commits said", got[0].Due, l.Due)
		}
	}
}
