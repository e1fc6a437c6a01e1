package postgres_test

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"spinetrace/store"
	"spinetrace/store/postgres"
)

// letterTo returns a letter that tells of a patient.
func letterTo(destination, localID string, exchange store.ID) store.Letter {
	return store.Letter{
		Destination: destination, Exchange: exchange, ControlID: "OUT1", Kind: store.Update,
		Patient: store.PatientKey{Authority: "RXX01", LocalID: localID},
	}
}

// suspicion returns an item about a patient.
func suspicion(localID string, exchange store.ID) store.Item {
	return store.Item{
		Kind: store.Discrepancy, Subject: localID, Patient: store.PatientKey{Authority: "RXX01", LocalID: localID},
		NHSNumber: "9990000018", Exchange: exchange, Doc: "{}", Notify: []string{"clerks"},
	}
}

// delivered returns a commit that settles a letter as delivered.
func delivered(l store.Letter) store.Commit {
	return store.Commit{
		Entries:    []store.Entry{{Kind: store.Tried}},
		Dispatched: []store.Dispatch{{Position: l.Position, Attempt: l.Attempt, State: store.Delivered}},
	}
}

// TestOutboxDoesNotDeadlock: the same letters, items, entries of the index and of the queue are changed
// in every order, while letters are taken.
func TestOutboxDoesNotDeadlock(t *testing.T) {
	dsn := newDatabase(t)
	stores := []*postgres.Store{
		start(t, dsn, store.Options{Chain: "one"}), start(t, dsn, store.Options{Chain: "two"}),
	}
	const many = 30
	var exchanges [many]store.ID
	old := message("OLD")
	for i := range exchanges {
		exchanges[i] = store.NewID()
		old.Letters = append(old.Letters, letterTo("pas", "old", store.NewID()))
	}
	commit(t, stores[0], old, store.Kept)
	there, err := stores[0].Letters(t.Context(), store.Waiting, many)
	if err != nil || len(there) != many {
		t.Fatalf("Letters() = %d letters, error %v; want %d", len(there), err, many)
	}
	var wg sync.WaitGroup
	for caller := range 16 {
		wg.Go(func() {
			s := stores[caller%2]
			for n := range 20 {
				c := message(fmt.Sprint("M", caller, "-", n))
				if l, _, err := s.Next(t.Context(), "pas", time.Minute); err != nil {
					t.Errorf("Next() error = %v", err)
				} else if l.Position != 0 {
					c.Dispatched = append(c.Dispatched, store.Dispatch{Position: l.Position, Attempt: l.Attempt, State: store.Parked})
				}
				open, err := s.Items(t.Context(), store.ItemQuery{Limit: many})
				if err != nil {
					t.Errorf("Items() error = %v", err)
				}
				for i, item := range open {
					if i%5 == caller%5 {
						c.Closures = append(c.Closures, store.Closure{Number: item.Number, By: "clerk", Why: "mended"})
					}
				}
				for i := range many {
					at := (i*(1+6*(caller%2)) + n) % many
					id := fmt.Sprint(at)
					c.Letters = append(c.Letters, letterTo("pas", id, exchanges[at]))
					c.Items = append(c.Items, suspicion(id, exchanges[at]))
					if i%3 == caller%3 {
						c.Patients = append(c.Patients, tell(id, c.Exchange))
						c.Work = append(c.Work, due(id, exchanges[at]))
						c.Dispatched = append(c.Dispatched, store.Dispatch{Position: there[at].Position, State: store.Waiting, Due: time.Now()})
					}
				}
				if _, err := s.Commit(t.Context(), c); err != nil {
					t.Errorf("Commit() error = %v", err)
				}
			}
		})
	}
	wg.Wait()
	if n := number(t, query(t, dsn), "select deadlocks from pg_stat_database where datname = current_database()"); n != 0 {
		t.Errorf("%d deadlocks, want none", n)
	}
}

// TestLetterRefusedAlone: what the tables refuse takes no neighbour with it.
func TestLetterRefusedAlone(t *testing.T) {
	dsn := newDatabase(t)
	exec(t, query(t, dsn), "alter table outbox add constraint poison check (control_id <> 'poison')")
	exec(t, query(t, dsn), "alter table item add constraint poison check (doc <> 'poison')")
	s := start(t, as(t, dsn, "spinetrace_runtime"), store.Options{})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			c := message(fmt.Sprint("M", i))
			l, item := letterTo("pas", fmt.Sprint(i), c.Exchange), suspicion(fmt.Sprint(i), c.Exchange)
			switch i % 8 {
			case 0:
				l.ControlID = "poison"
			case 1:
				item.Doc = "poison"
			}
			c.Letters, c.Items = []store.Letter{l}, []store.Item{item}
			if _, err := s.Commit(t.Context(), c); errors.Is(err, store.ErrRejected) != (i%8 < 2) {
				t.Errorf("message %d: Commit() error = %v", i, err)
			}
		})
	}
	wg.Wait()
	for table, want := range map[string]int{"outbox": 48, "item": 24} {
		if n := number(t, query(t, dsn), "select count(*) from "+table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
	verify(t, s, "main")
}

// TestReaderMayOnlyReadTheOutbox, and the items: nor may a commit of the auditor's change them.
func TestReaderMayOnlyReadTheOutbox(t *testing.T) {
	dsn := newDatabase(t)
	service := start(t, as(t, dsn, "spinetrace_runtime"), store.Options{})
	c := message("A")
	c.Letters = []store.Letter{letterTo("pas", "100001", c.Exchange)}
	c.Items, c.Patients = []store.Item{suspicion("100001", c.Exchange)}, []store.Patient{tell("100001", c.Exchange)}
	commit(t, service, c, store.Kept)

	s := start(t, as(t, dsn, "spinetrace_reader"), store.Options{Chain: "main.cli"})
	letters, err := s.Letters(t.Context(), store.Waiting, 10)
	items, err2 := s.Items(t.Context(), store.ItemQuery{Limit: 10})
	p, ok, err3 := s.Patient(t.Context(), c.Patients[0].Key)
	if err := errors.Join(err, err2, err3); err != nil || len(letters) != 2 || len(items) != 1 || !ok || !p.Flagged {
		t.Fatalf("%d letters, %d items, entry %t, flagged %t, error %v; want letter and notice, the item, the flag", len(letters), len(items), ok, p.Flagged, err)
	}
	looked := delivered(letters[0])
	looked.Entries[0].Kind, looked.Dispatched[0].Attempt = store.Looked, 0
	closing := store.Commit{Entries: looked.Entries, Closures: []store.Closure{{Number: items[0].Number, By: "auditor", Why: "none"}}}
	for _, c := range []store.Commit{looked, closing} {
		if _, err := s.Commit(t.Context(), c); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Commit() error = %v, want ErrUnavailable", err)
		}
	}
	if _, _, err := s.Next(t.Context(), "pas", time.Minute); err == nil {
		t.Error("the reader took a letter")
	}
	for _, role := range []string{"spinetrace_reader", "spinetrace_pruner"} {
		for _, table := range []string{"outbox", "item"} {
			if _, err := query(t, as(t, dsn, role)).Exec("delete from " + table); err == nil {
				t.Errorf("%s deleted from %s", role, table)
			}
		}
	}
	if letters, err = service.Letters(t.Context(), store.Waiting, 10); len(letters) != 2 || err != nil {
		t.Errorf("Letters() = %d letters, error %v; want both", len(letters), err)
	}
}

// fillOutbox makes letters that were delivered just now, and closed items, of patients numbered from 0.
func fillOutbox(tb testing.TB, db *sql.DB, n int) {
	exec(tb, db, fmt.Sprintf(`insert into outbox (destination, exchange, control_id, kind, local_id, authority, basis, mark,
			at, due, attempt, refusals, state, reason, ended)
		select 'pas', gen_random_uuid(), 'OUT' || i, 1, lpad(i::text, 6, '0'), 'RXX01', gen_random_uuid(), gen_random_uuid(),
			now(), now(), 1, 0, 3, '', now() from generate_series(0, %d) i`, n-1))
	exec(tb, db, fmt.Sprintf(`insert into item (kind, subject, local_id, authority, nhs_number, exchange, doc,
			opened, latest, times, closed, closed_by, why)
		select 4, 's' || i, lpad(i::text, 6, '0'), 'RXX01', '', gen_random_uuid(), '{}', now(), now(), 1, now(), 'clerk', 'mended'
		from generate_series(0, %d) i`, n-1))
}

// TestOutboxIsReadByItsIndexes, whatever the server thought of the tables when they were empty.
func TestOutboxIsReadByItsIndexes(t *testing.T) {
	dsn := newDatabase(t)
	db := query(t, dsn)
	s := start(t, dsn, store.Options{})
	turn := func(n int) {
		t.Helper()
		c, patient := message(fmt.Sprint("M", n)), fmt.Sprintf("%06d", n)
		c.Letters = []store.Letter{letterTo("pas", patient, c.Exchange)}
		c.Items, c.Patients = []store.Item{suspicion(patient, c.Exchange)}, []store.Patient{tell(patient, c.Exchange)}
		commit(t, s, c, store.Kept)
		l, _, err := s.Next(t.Context(), "pas", time.Minute)
		if err != nil || l.Exchange != c.Exchange {
			t.Fatalf("Next() = a letter of %v, error %v; want that of %v", l.Exchange, err, c.Exchange)
		}
		commit(t, s, delivered(l), store.Kept)
		told, err := s.Told(t.Context(), "pas", l.Patient, time.Now().Add(-time.Hour), 10)
		if err != nil || len(told) == 0 {
			t.Fatalf("Told() = %d letters, error %v; want the one that was delivered", len(told), err)
		}
		if _, err := s.Letters(t.Context(), store.Parked, 10); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Letter(t.Context(), l.Position); !ok || err != nil {
			t.Fatal("no letter", err)
		}
		if p, ok, err := s.Patient(t.Context(), l.Patient); err != nil || !ok || !p.Flagged {
			t.Fatalf("Patient() ok %t, flagged %t, error %v; want a flagged entry", ok, p.Flagged, err)
		}
		items, err := s.Items(t.Context(), store.ItemQuery{Patient: l.Patient, Limit: 10})
		if err != nil || len(items) != 1 {
			t.Fatalf("Items() = %d items, error %v; want 1", len(items), err)
		}
		closing := store.Commit{Entries: delivered(l).Entries, Closures: []store.Closure{{Number: items[0].Number, By: "clerk", Why: "mended"}}}
		commit(t, s, closing, store.Kept)
	}
	for n := range 10 { // as often as it takes for plans to be kept
		turn(n)
	}
	for _, table := range []string{"outbox", "item"} {
		exec(t, db, "truncate "+table)
		exec(t, db, "alter table "+table+" set (autovacuum_enabled = off)")
		exec(t, db, "vacuum analyze "+table)
	}
	fillOutbox(t, db, 20_000)
	const scans = "select sum(seq_tup_read)::bigint from pg_stat_user_tables where relname in ('outbox', 'item')"
	const probes = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relname in ('outbox', 'item')"
	before, probed := number(t, db, scans), number(t, db, probes)
	for n := range 20 {
		turn(100 + n)
	}
	if err := s.Close(); err != nil { // what a session did is counted when it ends, at the latest
		t.Fatal(err)
	}
	// A purge may have looked at the tables when they held next to nothing.
	if after := number(t, db, scans); after-before > 2000 {
		t.Errorf("%d rows were read from end to end", after-before)
	}
	if after := number(t, db, probes); after-probed > 2000 {
		t.Errorf("%d rows were read by indexes that do not fit", after-probed)
	}
}
