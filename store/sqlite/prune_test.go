package sqlite

import (
	"bytes"
	"database/sql"
	"os"
	"strings"
	"testing"
	"time"

	"spinetrace/store"
)

// TestDroppedBodiesAreOverwritten: "for good" is what the command says.
func TestDroppedBodiesAreOverwritten(t *testing.T) {
	path := newPath(t)
	then := time.Now().Add(-20 * 24 * time.Hour)
	s := start(t, path, store.Options{Now: func() time.Time { return then }})
	for _, id := range []string{"1", "2", "3"} {
		_, err := s.Commit(t.Context(), store.Commit{
			Exchange: idAt(then), Open: &store.Opening{ControlID: id},
			Entries: []store.Entry{{Kind: store.Exchanged, Parts: []store.Part{{Kind: store.Frame, Data: []byte("MSH|KETTLEWELL^ROSALIND|" + id)}}}},
			Close:   &store.Closing{Outcome: store.NotTraced},
		})
		must(t, err)
	}
	must(t, s.Close())
	pruner := start(t, path, store.Options{Chain: "main.cli"})
	n, err := pruner.DropBodies(t.Context(), then.Add(time.Hour), nil)
	if n != 3 || err != nil {
		t.Fatalf("DropBodies() = %d, error %v; want 3", n, err)
	}
	for _, file := range []string{path, path + "-wal"} {
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte("KETTLEWELL")) {
			t.Errorf("%s still holds what was dropped", file)
		}
	}
}

// TestDroppedBodiesStayInTheLog: whoever reads keeps the log from being emptied, and the command says so.
func TestDroppedBodiesStayInTheLog(t *testing.T) {
	t.Parallel() // it waits as long as SQLite does for a reader
	path := newPath(t)
	then := time.Now().Add(-20 * 24 * time.Hour)
	s := start(t, path, store.Options{Now: func() time.Time { return then }})
	must(t, s.Close())
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	tx, err := db.Begin()
	must(t, err)
	defer func() { _ = tx.Rollback() }() // it only reads
	var n int
	must(t, tx.QueryRow("select count(*) from event").Scan(&n))
	pruner := start(t, path, store.Options{Chain: "main.cli"})
	if _, err := pruner.DropBodies(t.Context(), then.Add(time.Hour), nil); err == nil || !strings.Contains(err.Error(), "still holds bodies") {
		t.Errorf("DropBodies() error = %v, want what the log still holds", err)
	}
	must(t, tx.Rollback())
	if _, err := pruner.DropBodies(t.Context(), then.Add(time.Hour), nil); err != nil {
		t.Errorf("DropBodies() error = %v when nobody reads any more", err)
	}
}

func idAt(at time.Time) store.ID {
	id := store.FirstID(at)
	fresh := store.NewID()
	copy(id[6:], fresh[6:])
	return id
}
