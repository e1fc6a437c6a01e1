package postgres_test

import (
	"errors"
	"testing"

	"spinetrace/store"
)

// TestForgedEventOutOfItsTime: behind its first page a chain is read from the month on that it has got to.
func TestForgedEventOutOfItsTime(t *testing.T) {
	dsn := newDatabase(t)
	s := start(t, dsn, store.Options{})
	const events, each = 10_500, 500
	for range events / each {
		commit(t, s, store.Commit{Entries: warnings(each)}, store.Kept)
	}
	verify(t, s, "main")
	exec(t, query(t, dsn), `insert into event select chain, 10400, at - interval '1 month', kind, exchange, doc, hash from event where seq = 10400`)
	_, err := store.Verify(t.Context(), s, "main", false, nil)
	var b *store.Break
	if !errors.As(err, &b) {
		t.Errorf("Verify() error = %v, want a break", err)
	}
}

func warnings(n int) []store.Entry {
	all := make([]store.Entry, n)
	for i := range all {
		all[i].Kind = store.Warned
	}
	return all
}

// TestChainsKeepTheirNames: without its name a chain would be walked by nobody.
func TestChainsKeepTheirNames(t *testing.T) {
	dsn := newDatabase(t)
	start(t, dsn, store.Options{})
	db := query(t, dsn)
	for _, statement := range []string{
		"delete from chain", "update chain set name = 'x'", "truncate chain cascade",
		"insert into chain (name) values (E'\\x1b[31mred.cli')", "insert into chain (name) values ('two words')",
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("allowed: %s", statement)
		}
	}
}

// TestPartitionCannotBeKeptFromBeingMade: a table that only has a partition's name is none.
func TestPartitionCannotBeKeptFromBeingMade(t *testing.T) {
	db := query(t, newDatabase(t))
	exec(t, db, "create table event_2099_01 (x int)")
	if _, err := db.Exec("select spinetrace_partition('event', '2099-01-01Z')"); err == nil {
		t.Error("the table was taken for the partition")
	}
}
