package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"spinetrace/store"
	"spinetrace/store/postgres"
)

// tell returns an entry that a message told of.
func tell(localID string, id store.ID) store.Patient {
	return store.Patient{
		Key:  store.PatientKey{Authority: "RXX01", LocalID: localID},
		Told: store.Told{At: time.Now(), Exchange: id, NHSNumber: "9990000018", Status: "01", Doc: "{}"},
	}
}

// TestPatientsDoNotDeadlock: the server counts what the suite would only see as a delay.
func TestPatientsDoNotDeadlock(t *testing.T) {
	dsn := newDatabase(t)
	stores := []*postgres.Store{
		start(t, dsn, store.Options{Chain: "one"}), start(t, dsn, store.Options{Chain: "two"}),
	}
	var wg sync.WaitGroup
	for caller := range 16 {
		wg.Go(func() {
			for n := range 20 {
				c := message(fmt.Sprint("M", caller, "-", n))
				for i := range 30 {
					c.Patients = append(c.Patients, tell(fmt.Sprint((i*(1+2*(caller%2))+n)%30), c.Exchange))
				}
				if _, err := stores[caller%2].Commit(t.Context(), c); err != nil {
					t.Errorf("Commit() error = %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if _, _, err := stores[0].Reindex(t.Context(), time.Now().Add(time.Hour), func(func(store.Patient) bool) {}); err != nil {
				t.Errorf("Reindex() error = %v", err)
			}
		}
	})
	wg.Wait()
	if n := number(t, query(t, dsn), "select deadlocks from pg_stat_database where datname = current_database()"); n != 0 {
		t.Errorf("%d deadlocks, want none", n)
	}
}

// TestPatientRefusedAlone: what the table refuses takes no neighbour with it.
func TestPatientRefusedAlone(t *testing.T) {
	dsn := newDatabase(t)
	exec(t, query(t, dsn), "alter table patient add constraint poison check (told_doc <> 'poison')")
	s := start(t, as(t, dsn, "spinetrace_runtime"), store.Options{})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			c := message(fmt.Sprint("M", i))
			p := tell(fmt.Sprint(i), c.Exchange)
			if i%8 == 0 {
				p.Told.Doc = "poison"
			}
			c.Patients = []store.Patient{p}
			_, err := s.Commit(t.Context(), c)
			if errors.Is(err, store.ErrRejected) != (i%8 == 0) {
				t.Errorf("message %d: Commit() error = %v", i, err)
			}
			if err != nil && strings.Contains(err.Error(), "9990000018") {
				t.Errorf("Commit() error = %q repeats what was in the commit", err)
			}
		})
	}
	wg.Wait()
	if n := number(t, query(t, dsn), "select count(*) from patient"); n != 28 {
		t.Errorf("%d entries, want 28", n)
	}
	verify(t, s, "main")
}

// TestReaderMayOnlyReadTheIndex: nor may a commit of the auditor's change it.
func TestReaderMayOnlyReadTheIndex(t *testing.T) {
	dsn := newDatabase(t)
	service := start(t, as(t, dsn, "spinetrace_runtime"), store.Options{})
	c := message("A")
	c.Patients = []store.Patient{tell("100001", c.Exchange)}
	commit(t, service, c, store.Kept)

	reader := as(t, dsn, "spinetrace_reader")
	s := start(t, reader, store.Options{Chain: "main.cli"})
	if _, ok, err := s.Patient(t.Context(), c.Patients[0].Key); !ok || err != nil {
		t.Errorf("Patient() ok = %t, error %v; want the entry", ok, err)
	}
	looked := store.Commit{Entries: []store.Entry{{Kind: store.Looked}}, Patients: []store.Patient{tell("100002", c.Exchange)}}
	if _, err := s.Commit(t.Context(), looked); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Commit() error = %v, want ErrUnavailable", err)
	}
	if _, _, err := s.Reindex(t.Context(), time.Now().Add(time.Hour), func(func(store.Patient) bool) {}); err == nil {
		t.Error("the reader deleted from the index")
	}
	for _, role := range []string{"spinetrace_reader", "spinetrace_pruner"} {
		if _, err := query(t, as(t, dsn, role)).Exec("delete from patient"); err == nil {
			t.Errorf("%s deleted from the index", role)
		}
	}
	if _, err := query(t, as(t, dsn, "spinetrace_pruner")).Exec("select from patient"); err == nil {
		t.Error("the pruner read the index")
	}
}

// TestRolesOfTheReleaseBefore: after `migrate up` alone, without `migrate roles`, logins that
// have had their roles for long can use the new tables.
func TestRolesOfTheReleaseBefore(t *testing.T) {
	newDatabase(t) // the roles belong to the server
	dsn := pg.NewDatabase(t, "")
	if _, err := postgres.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	for statement, role := range map[string]string{
		"delete from patient where touched < (select max(touched) from patient)": "spinetrace_runtime",
		"select from patient": "spinetrace_reader",
		"delete from work where lease < (select max(lease) from work)":           "spinetrace_runtime",
		"select spinetrace_work('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')": "spinetrace_runtime",
		"select from work": "spinetrace_reader",
		"delete from outbox where ended < (select max(ended) from outbox)": "spinetrace_runtime",
		"update item set times = times":                                    "spinetrace_runtime",
		"select spinetrace_outbox(1::smallint, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')": "spinetrace_runtime",
		"select spinetrace_items('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')":                                 "spinetrace_runtime",
		"select spinetrace_next('pas', 1::smallint, now(), now())":                                                                        "spinetrace_runtime",
		"select from outbox, item":                                                          "spinetrace_reader",
		"insert into ending select * from ending where false":                               "spinetrace_runtime",
		"insert into mention select * from mention where false":                             "spinetrace_runtime",
		"select from ending, mention":                                                       "spinetrace_reader",
		"select spinetrace_drop_bodies('2020-01-01', gen_random_uuid(), 0::smallint, 0, 1)": "spinetrace_pruner",
	} {
		exec(t, query(t, as(t, dsn, role)), statement)
	}
	for _, table := range []string{"patient", "work", "outbox", "item"} {
		if _, err := query(t, as(t, dsn, "spinetrace_pruner")).Exec("select from " + table); err == nil {
			t.Errorf("the pruner read %s", table)
		}
	}
}

// TestIndexIsReadByItsIndexes: the entries of a trust are a million.
func TestIndexIsReadByItsIndexes(t *testing.T) {
	dsn := newDatabase(t)
	db := query(t, dsn)
	fillPatients(t, db, 5_000)
	s := start(t, dsn, store.Options{})
	scans := "select seq_scan from pg_stat_user_tables where relname = 'patient'"
	before := number(t, db, scans)
	for range 20 {
		_, ok, err := s.Patient(t.Context(), store.PatientKey{Authority: "RXX01", LocalID: "000777"})
		named, err2 := s.Named(t.Context(), "000777", 10)
		holders, err3 := s.Holders(t.Context(), "9990000777", 10)
		if err := errors.Join(err, err2, err3); err != nil || !ok || len(named) != 1 || len(holders) != 1 {
			t.Fatalf("entry found %t, %d named, %d holders, error %v; want one of each", ok, len(named), len(holders), err)
		}
	}
	if err := s.Close(); err != nil { // what a session did is counted when it ends, at the latest
		t.Fatal(err)
	}
	if after := number(t, db, scans); after != before {
		t.Errorf("the table was read from end to end %d times", after-before)
	}
}
