package sqlite

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"spinetrace/store"
	"spinetrace/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Exercise(t, storetest.Backend{NewDatabase: func(tb testing.TB) storetest.Database {
		path := newPath(tb)
		return storetest.Database{
			Open: func(tb testing.TB, o store.Options) store.Store { return open(tb, path, o) },
			Exec: func(tb testing.TB, statement string) { tamper(tb, path, statement) },
		}
	}})
}

// newPath names a file in a folder that is awkward to name in a URL.
func newPath(tb testing.TB) string {
	dir := filepath.Join(tb.TempDir(), "100% #1 & so on")
	if err := os.Mkdir(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(dir, "journal.db")
}

func open(tb testing.TB, path string, o store.Options) *Store {
	tb.Helper()
	s, err := Open(path, o)
	if err != nil {
		tb.Fatalf("Open() error = %v", err)
	}
	tb.Cleanup(func() { must(tb, s.Close()) })
	return s
}

func start(tb testing.TB, path string, o store.Options) *Store {
	tb.Helper()
	s := open(tb, path, o)
	if err := s.Start(deadline(tb)); err != nil {
		tb.Fatalf("Start() error = %v", err)
	}
	return s
}

func deadline(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

// tamper runs one statement as somebody would who has the file, without the triggers.
func tamper(tb testing.TB, path, statement string) {
	tb.Helper()
	db, err := sql.Open("sqlite", dataSource(path))
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	for _, table := range []string{"event", "body", "exchange", "reply", "ending", "mention"} {
		for _, act := range []string{"update", "delete"} {
			if _, err := db.Exec("drop trigger if exists " + table + "_" + act); err != nil {
				tb.Fatal(err)
			}
		}
	}
	r, err := db.Exec(statement)
	if err != nil {
		tb.Fatal(err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		tb.Fatalf("%s: changed %d rows, error %v", statement, n, err)
	}
}
