// Package storetest is the contract of [store.Store] as a test suite: a store is right when
// [Exercise] passes.
//
//	func TestStore(t *testing.T) {
//		storetest.Exercise(t, storetest.Backend{NewDatabase: newDatabase})
//	}
package storetest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"spinetrace/store"
)

// Backend is what differs from store to store.
type Backend struct {
	// NewDatabase makes an empty database for one test, and removes it when the test ends.
	NewDatabase func(tb testing.TB) Database
}

// Database is where one test's stores keep their data.
type Database struct {
	// Open makes a store, not yet started. Stores opened twice see the same data.
	Open func(tb testing.TB, o store.Options) store.Store
	// OpenPruner makes one that may drop bodies, nil: Open does. It writes chains of commands only.
	OpenPruner func(tb testing.TB, o store.Options) store.Store
	// Exec changes the data as somebody would who is above all grants and triggers: one
	// statement in SQL, over the tables event and body. Without it tampering is not tested.
	Exec func(tb testing.TB, statement string)
}

// Exercise runs the suite. Each test has a database of its own.
func Exercise(t *testing.T, b Backend) {
	groups := map[string]map[string]func(*testing.T, Database){
		"Commit": commits, "Duplicate": duplicates, "Close": closings,
		"Audit": readings, "Chain": chains, "Verify": verifications, "Rows": comparings, "Index": indexings, "Queue": queueings,
		"Outbox": postings, "Backlog": backlogs,
		"Search": searchings, "Prune": prunings, "Keys": encryptings, "Anchor": anchorings,
	}
	for group, tests := range groups {
		t.Run(group, func(t *testing.T) {
			for name, test := range tests {
				t.Run(name, func(t *testing.T) { test(t, b.NewDatabase(t)) })
			}
		})
	}
	t.Run("Model", func(t *testing.T) { model(t, b) })
}

// patience is how long a test waits for what must happen; none waits that long for success.
const patience = 30 * time.Second

func deadline(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// open opens a store and closes it when the test ends.
func open(tb testing.TB, db Database, o store.Options) store.Store {
	tb.Helper()
	s := db.Open(tb, o)
	tb.Cleanup(func() { stop(tb, s) })
	return s
}

// start opens a store and starts it.
func start(tb testing.TB, db Database, o store.Options) store.Store {
	tb.Helper()
	s := open(tb, db, o)
	if err := s.Start(deadline(tb)); err != nil {
		tb.Fatalf("Start() error = %v", err)
	}
	return s
}

// pair starts two instances, each with a chain of its own.
func pair(tb testing.TB, db Database, o store.Options) []store.Store {
	tb.Helper()
	one, two := o, o
	one.Chain, two.Chain = "one", "two"
	return []store.Store{start(tb, db, one), start(tb, db, two)}
}

func stop(tb testing.TB, s store.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Errorf("Close() error = %v", err)
	}
}

// commit keeps c and fails the test if that is not what becomes of it.
func commit(tb testing.TB, s store.Store, c store.Commit) {
	tb.Helper()
	if got := receipt(tb, s, c); got.Status != store.Kept {
		tb.Fatalf("Commit() status = %d, want Kept", got.Status)
	}
}

func receipt(tb testing.TB, s store.Store, c store.Commit) store.Receipt {
	tb.Helper()
	r, err := s.Commit(deadline(tb), c)
	if err != nil {
		tb.Fatalf("Commit() error = %v", err)
	}
	return r
}

// A clock that only tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// week is the claims' window in these tests.
const week = 168 * time.Hour

// frame is an invented message; the control id makes it another one.
func frame(controlID string) []byte {
	return []byte("MSH|^~\\&|PAS|RXX01|SPINETRACE|RXX|20261122101500||ADT^A28^ADT_A05|" + controlID +
		"|P|2.4\rEVN|A28|20261122101500\rPID|1||100001^^^RXX01^MR||SPECIMEN^EXAMPLE||19620104|2\r")
}

func ack(controlID string) []byte { return []byte("MSH|^~\\&|SPINETRACE\rMSA|AA|" + controlID + "\r") }

func claim(controlID string) *store.Claim {
	return &store.Claim{
		Application: "PAS", Facility: "RXX01", ControlID: controlID,
		Digest: sha256.Sum256(frame(controlID)), Window: week,
	}
}

func opening(controlID string) *store.Opening {
	return &store.Opening{
		Claim: claim(controlID), Application: "PAS", Facility: "RXX01", ControlID: controlID,
		Type: "ADT^A28^ADT_A05", LocalID: "100001", NHSNumber: "9990000018",
	}
}

func facts(controlID string) store.Facts {
	return store.Facts{Application: "PAS", Facility: "RXX01", ControlID: controlID, Type: "ADT^A28^ADT_A05"}
}

// received opens an exchange and leaves it open.
func received(controlID string) store.Commit {
	return store.Commit{
		Exchange: store.NewID(), Open: opening(controlID),
		Entries: []store.Entry{{
			Kind: store.Received, Facts: facts(controlID),
			Parts: []store.Part{{Kind: store.Frame, Data: frame(controlID)}},
		}},
	}
}

// exchanged opens and closes an exchange in one commit.
func exchanged(controlID string) store.Commit {
	return store.Commit{
		Exchange: store.NewID(), Open: opening(controlID),
		Entries: []store.Entry{{
			Kind: store.Exchanged, Facts: facts(controlID),
			Parts: []store.Part{{Kind: store.Frame, Data: frame(controlID)}, {Kind: store.Reply, Data: ack(controlID)}},
		}},
		Close: &store.Closing{Outcome: store.NotTraced},
	}
}

// replied closes an exchange: the back end's answer, then the reply.
func replied(exchange store.ID, reply string) store.Commit {
	return store.Commit{
		Exchange: exchange,
		Entries: []store.Entry{
			{Kind: store.Answered, Parts: []store.Part{{Kind: store.Response, Data: []byte("<answer/>")}}},
			{Kind: store.Replied, Parts: []store.Part{{Kind: store.Reply, Data: []byte(reply)}}},
		},
		Close: &store.Closing{Outcome: store.Traced, NHSNumber: "9990000026"},
	}
}

// warned is an event of the service itself.
func warned(reason string) store.Commit {
	return store.Commit{Entries: []store.Entry{{Kind: store.Warned, Facts: store.Facts{Reason: reason}}}}
}

// together runs the calls at once and waits for all.
func together(n int, call func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			call(i)
		})
	}
	close(start)
	wg.Wait()
}

func collect(tb testing.TB, s store.Store, q store.Query) []store.Event {
	tb.Helper()
	var events []store.Event
	for e, err := range s.Events(deadline(tb), q) {
		if err != nil {
			tb.Fatalf("Events() error = %v", err)
		}
		events = append(events, e)
	}
	return events
}

func kinds(events []store.Event) string {
	var ks []store.Kind
	for _, e := range events {
		ks = append(ks, e.Kind)
	}
	return fmt.Sprint(ks)
}

// verify walks the chain with its bodies and returns what was seen.
func verify(tb testing.TB, s store.Store, chain string) store.Walk {
	tb.Helper()
	w, err := store.Verify(deadline(tb), s, chain, true, nil)
	if err != nil {
		tb.Fatalf("Verify() error = %v", err)
	}
	return w
}
