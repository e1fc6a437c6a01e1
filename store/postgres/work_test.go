package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"spinetrace/store"
	"spinetrace/store/postgres"
)

// due returns an item that has been due for a minute.
func due(localID string, exchange store.ID) store.Work {
	return store.Work{
		Exchange: exchange, Patient: store.PatientKey{Authority: "RXX01", LocalID: localID},
		Kind: store.Unfinished, Due: time.Now().Add(-time.Minute), Reason: "no answer yet",
	}
}

// settled returns a commit that settles claimed items as done.
func settled(items []store.Work) store.Commit {
	c := store.Commit{Entries: []store.Entry{{Kind: store.Finished}}}
	for _, w := range items {
		c.Settled = append(c.Settled, store.Settlement{Exchange: w.Exchange, Attempt: w.Attempt})
	}
	return c
}

// TestWorkDoesNotDeadlock: the same items are added, claimed and settled in every order, beside
// entries of the index.
func TestWorkDoesNotDeadlock(t *testing.T) {
	dsn := newDatabase(t)
	stores := []*postgres.Store{
		start(t, dsn, store.Options{Chain: "one"}), start(t, dsn, store.Options{Chain: "two"}),
	}
	var exchanges [30]store.ID
	for i := range exchanges {
		exchanges[i] = store.NewID()
	}
	var wg sync.WaitGroup
	for caller := range 16 {
		wg.Go(func() {
			s := stores[caller%2]
			for n := range 20 {
				c := message(fmt.Sprint("M", caller, "-", n))
				claimed, err := s.Claim(t.Context(), 5, time.Minute)
				c.Settled = settled(claimed).Settled
				for i := range exchanges {
					at := (i*(1+6*(caller%2)) + n) % len(exchanges)
					w := due(fmt.Sprint(at), exchanges[at])
					c.Work = append(c.Work, w)
					if i%3 == caller%3 {
						c.Patients = append(c.Patients, tell(w.Patient.LocalID, c.Exchange))
						c.Settled = append(c.Settled, store.Settlement{Exchange: w.Exchange})
					}
				}
				if _, err2 := s.Commit(t.Context(), c); err != nil || err2 != nil {
					t.Errorf("Claim() error = %v, Commit() error = %v", err, err2)
				}
			}
		})
	}
	wg.Wait()
	if n := number(t, query(t, dsn), "select deadlocks from pg_stat_database where datname = current_database()"); n != 0 {
		t.Errorf("%d deadlocks, want none", n)
	}
}

// TestWorkRefusedAlone: what the table refuses takes no neighbour with it.
func TestWorkRefusedAlone(t *testing.T) {
	dsn := newDatabase(t)
	exec(t, query(t, dsn), "alter table work add constraint poison check (reason <> 'poison')")
	s := start(t, as(t, dsn, "spinetrace_runtime"), store.Options{})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			c := message(fmt.Sprint("M", i))
			w := due(fmt.Sprint(i), c.Exchange)
			if i%8 == 0 {
				w.Reason = "poison"
			}
			c.Work = []store.Work{w}
			if _, err := s.Commit(t.Context(), c); errors.Is(err, store.ErrRejected) != (i%8 == 0) {
				t.Errorf("message %d: Commit() error = %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := number(t, query(t, dsn), "select count(*) from work"); n != 28 {
		t.Errorf("%d items, want 28", n)
	}
	verify(t, s, "main")
}

// TestReaderMayOnlyReadTheQueue: nor may a commit of the auditor's change it.
func TestReaderMayOnlyReadTheQueue(t *testing.T) {
	dsn := newDatabase(t)
	service := start(t, as(t, dsn, "spinetrace_runtime"), store.Options{})
	c := message("A")
	c.Work = []store.Work{due("100001", c.Exchange)}
	commit(t, service, c, store.Kept)

	s := start(t, as(t, dsn, "spinetrace_reader"), store.Options{Chain: "main.cli"})
	items, err := s.Pending(t.Context(), false, 10)
	if _, ok, err2 := s.NextDue(t.Context()); len(items) != 1 || !ok || err != nil || err2 != nil {
		t.Errorf("Pending() = %d items, error %v; NextDue() ok = %t, error %v; want the item", len(items), err, ok, err2)
	}
	looked := settled(items)
	looked.Entries[0].Kind = store.Looked
	if _, err := s.Commit(t.Context(), looked); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Commit() error = %v, want ErrUnavailable", err)
	}
	if _, err := s.Claim(t.Context(), 1, time.Minute); err == nil {
		t.Error("the reader claimed an item")
	}
	for _, role := range []string{"spinetrace_reader", "spinetrace_pruner"} {
		if _, err := query(t, as(t, dsn, role)).Exec("delete from work"); err == nil {
			t.Errorf("%s deleted from the queue", role)
		}
	}
	if items, err = service.Pending(t.Context(), false, 10); len(items) != 1 || err != nil {
		t.Errorf("Pending() = %d items, error %v; want the item", len(items), err)
	}
}

// TestQueueIsReadByItsIndexes, whatever the server thought of the table when it was empty.
func TestQueueIsReadByItsIndexes(t *testing.T) {
	dsn := newDatabase(t)
	db := query(t, dsn)
	s := start(t, dsn, store.Options{})
	turn := func(n int) {
		t.Helper()
		c := message(fmt.Sprint("M", n))
		c.Work = []store.Work{due(fmt.Sprint(n), c.Exchange)}
		commit(t, s, c, store.Kept)
		items, err := s.Claim(t.Context(), 1, time.Minute)
		if err != nil || len(items) != 1 {
			t.Fatalf("Claim() = %d items, error %v; want 1", len(items), err)
		}
		commit(t, s, settled(items), store.Kept)
		if _, _, err := s.NextDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pending(t.Context(), true, 10); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 { // as often as it takes for plans to be kept
		turn(n)
	}
	exec(t, db, "delete from work")
	exec(t, db, "alter table work set (autovacuum_enabled = off)")
	exec(t, db, "vacuum analyze work")
	fillWork(t, db, 20_000)
	scans := "select seq_tup_read from pg_stat_user_tables where relname = 'work'"
	before := number(t, db, scans)
	for n := range 20 {
		turn(100 + n)
	}
	if err := s.Close(); err != nil { // what a session did is counted when it ends, at the latest
		t.Fatal(err)
	}
	if after := number(t, db, scans); after != before {
		t.Errorf("%d rows were read from end to end", after-before)
	}
}
