package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"spinetrace/store"
)

// TestSearcherReadsNoBodies, by whatever asks for them, and is told which role may.
func TestSearcherReadsNoBodies(t *testing.T) {
	dsn := newDatabase(t)
	c := message("A")
	commit(t, start(t, as(t, dsn, "spinetrace_runtime"), store.Options{}), c, store.Kept)
	searcher := as(t, dsn, "spinetrace_searcher")
	s := start(t, searcher, store.Options{Chain: "main.cli"})

	var event store.Event
	for e, err := range s.Events(t.Context(), store.Query{Exchange: c.Exchange}) {
		if event = e; err != nil {
			t.Fatal(err)
		}
	}
	_, _, parts := s.Parts(t.Context(), event)
	_, _, answer := s.Answer(t.Context(), c.Exchange)
	_, strays := s.Strays(t.Context(), true)
	_, verified := store.Verify(t.Context(), s, "main", true, nil)
	for what, err := range map[string]error{"Parts()": parts, "Answer()": answer, "Strays()": strays, "Verify()": verified} {
		if !errors.Is(err, store.ErrBodiesDenied) || !strings.Contains(err.Error(), "grant it the role spinetrace_reader") {
			t.Errorf("%s error = %v, want ErrBodiesDenied, and the role to grant", what, err)
		}
	}
	if _, err := s.Strays(t.Context(), false); err != nil {
		t.Errorf("Strays() of events error = %v", err)
	}
	db := query(t, searcher)
	for _, statement := range []string{
		"select from body", "select from " + leafOf("body", event.At), "select told_doc from patient", "select doc from item",
		"select * from patient", "delete from patient", "delete from work", "delete from outbox", "delete from item", "delete from seen",
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("allowed: %s", statement)
		}
	}
}

// TestSearcherReadsTheIndexWithoutDocuments, and the items.
func TestSearcherReadsTheIndexWithoutDocuments(t *testing.T) {
	dsn := newDatabase(t)
	c := message("A")
	moved := tell("100002", c.Exchange)
	moved.Moved = store.Moved{At: moved.Told.At, Exchange: c.Exchange, Into: store.PatientKey{Authority: "RXX01", LocalID: "100001"}}
	c.Patients = []store.Patient{tell("100001", c.Exchange), moved}
	c.Items = []store.Item{suspicion("100001", c.Exchange)}
	commit(t, start(t, as(t, dsn, "spinetrace_runtime"), store.Options{}), c, store.Kept)

	for role, doc := range map[string]bool{"spinetrace_reader": true, "spinetrace_searcher": false} {
		s := start(t, as(t, dsn, role), store.Options{Chain: role + ".cli"})
		named, err := s.Named(t.Context(), "100001", 10)
		merged, err2 := s.MergedInto(t.Context(), "100001", 10)
		holders, err3 := s.Holders(t.Context(), "9990000018", 10)
		entries, err4 := s.Entries(t.Context(), store.PatientKey{}, 10)
		items, err5 := s.Items(t.Context(), store.ItemQuery{Limit: 10})
		if err := errors.Join(err, err2, err3, err4, err5); err != nil || len(named) != 1 || len(merged) != 1 || len(holders) != 2 || len(entries) != 2 || len(items) != 1 {
			t.Fatalf("%s: %d named, %d merged, %d holders, %d entries, %d items, error %v", role, len(named), len(merged), len(holders), len(entries), len(items), err)
		}
		item, ok, err := s.Item(t.Context(), items[0].Number)
		if !ok || err != nil || item.NHSNumber != items[0].NHSNumber || !named[0].Flagged || named[0].Told.NHSNumber != "9990000018" {
			t.Errorf("%s: item %+v, %t, error %v; entry %+v", role, item, ok, err, named[0])
		}
		for what, got := range map[string]string{
			"Named()": named[0].Told.Doc, "MergedInto()": merged[0].Told.Doc, "Holders()": holders[0].Told.Doc, "Entries()": entries[0].Told.Doc,
			"Items()": items[0].Doc, "Item()": item.Doc,
		} {
			if (got != "") != doc {
				t.Errorf("%s: the document of %s is %q", role, what, got)
			}
		}
	}
}

// TestSearcherHasAllThatTheReaderHas, but for what messages are, and what is taken out of them: a column
// that is new is to be granted, or to be named here.
func TestSearcherHasAllThatTheReaderHas(t *testing.T) {
	dsn := newDatabase(t)
	rows, err := query(t, dsn).Query(`select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
		where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
		and has_column_privilege('spinetrace_reader', c.oid, a.attnum, 'select')
		and not has_column_privilege('spinetrace_searcher', c.oid, a.attnum, 'select') order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lacking []string
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			t.Fatal(err)
		}
		lacking = append(lacking, column)
	}
	const want = "body.chain body.codec body.data body.exchange body.key_id body.seq item.doc patient.told_doc"
	if got := strings.Join(lacking, " "); got != want || rows.Err() != nil {
		t.Errorf("the searcher may not read %s, %v; want %s", got, rows.Err(), want)
	}
}
