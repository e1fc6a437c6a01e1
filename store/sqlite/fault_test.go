package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	lib "modernc.org/sqlite/lib"

	"spinetrace/store"
)

// change runs statements on a connection of its own.
func change(tb testing.TB, path string, statements ...string) {
	tb.Helper()
	db, err := sql.Open("sqlite", dataSource(path))
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			tb.Fatalf("%s: %v", q, err)
		}
	}
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// Each ends at once, with one sentence that names the file and says what to do.
func TestStartRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, path string)
		is      error
		says    string
	}{
		"a folder that does not exist": {
			func(t *testing.T, path string) { must(t, os.Remove(filepath.Dir(path))) },
			nil, `^sqlite: start: the folder .* does not exist; create it$`,
		},
		"a folder instead of a file": {
			func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o700)) },
			nil, `^sqlite: open: .*journal.db is a folder; name a file$`,
		},
		"a file that is not a database": {
			func(t *testing.T, path string) { write(t, path, strings.Repeat("MSH|^~\\&|PAS\r", 1000)) },
			nil, `^sqlite: open: the file is not a database; move it away or name another one$`,
		},
		"another program's database": {
			func(t *testing.T, path string) {
				write(t, path, "")
				change(t, path, "create table t (a)")
			},
			store.ErrSchema, `journal.db is a database of another program; name another file$`,
		},
		"a schema that is too new": {
			func(t *testing.T, path string) { upgrade(t, path, 1000) },
			store.ErrSchema, `journal.db is at version 1000, this program knows \d+; run the newer program$`,
		},
		"a schema without its note": {
			func(t *testing.T, path string) {
				upgrade(t, path, 1000)
				change(t, path, "delete from schema_version where version = 1000")
			},
			store.ErrSchema, `is at version 1000, this program knows \d+; run the newer program$`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			tt.prepare(t, path)
			s := open(t, path, store.Options{})
			err := s.Start(deadline(t))
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) {
				t.Fatalf("Start() error = %v, want one that is %v", err, tt.is)
			}
			if !regexp.MustCompile(tt.says).MatchString(err.Error()) {
				t.Errorf("Start() error = %q, want it to match %q", err, tt.says)
			}
			if ready := s.Ready(); ready == nil || !strings.Contains(ready.Error(), err.Error()) {
				t.Errorf("Ready() error = %v, want the same reason", ready)
			}
		})
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// upgrade makes the schema one that a later release left behind.
func upgrade(tb testing.TB, path string, oldestProgram int) {
	tb.Helper()
	must(tb, start(tb, path, store.Options{}).Close())
	change(tb, path,
		"insert into goose_db_version (version_id, is_applied) values (1000, true)",
		"insert into schema_version (version, oldest_program) values (1000, "+strconv.Itoa(oldestProgram)+")")
}

func TestStartAcceptsANewerSchemaThatSaysSo(t *testing.T) {
	path := newPath(t)
	upgrade(t, path, 1)
	keep(t, start(t, path, store.Options{}), 1)
}

func TestStartNeedsPermission(t *testing.T) {
	if runtime.GOOS == "windows" || os.Getuid() == 0 {
		t.Skip("this user may do everything")
	}
	path := newPath(t)
	must(t, os.Chmod(filepath.Dir(path), 0o500))
	err := open(t, path, store.Options{}).Start(deadline(t))
	if err == nil || !strings.Contains(err.Error(), "no permission to write in the folder") {
		t.Errorf("Start() error = %v, want one that says what to grant", err)
	}
	must(t, os.Chmod(filepath.Dir(path), 0o700))
	write(t, path, "")
	must(t, os.Chmod(path, 0o400))
	err = open(t, path, store.Options{}).Start(deadline(t))
	if err == nil || !strings.Contains(err.Error(), "write access") {
		t.Errorf("Start() error = %v, want one that says what to grant", err)
	}
}

func TestFilesAreForThisUserAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	path := newPath(t)
	keep(t, start(t, path, store.Options{}), 1)
	files, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	if len(files) != 5 {
		t.Errorf("%d files, want the database, its log, the log's index and two locks", len(files))
	}
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", f.Name(), info.Mode())
		}
	}
}

func TestChainInUseNamesTheHolder(t *testing.T) {
	path := newPath(t)
	start(t, path, store.Options{Chain: "../main"})
	err := open(t, path, store.Options{Chain: "../main", ChainWait: time.Millisecond}).Start(deadline(t))
	want := regexp.MustCompile(`^store: chain in use: \.\./main is written by process \d+ on \S+ since \S+Z$`)
	if !errors.Is(err, store.ErrChainInUse) || !want.MatchString(err.Error()) {
		t.Errorf("Start() error = %v, want it to match %v", err, want)
	}
}

func TestStartIsCalledOnce(t *testing.T) {
	s := start(t, newPath(t), store.Options{})
	if err := s.Start(deadline(t)); err == nil {
		t.Error("Start() again: want an error")
	}
	closed := open(t, newPath(t), store.Options{})
	must(t, closed.Close())
	must(t, closed.Close())
	if err := closed.Start(deadline(t)); err == nil {
		t.Error("Start() after Close: want an error")
	}
}

func TestCloseEndsAStartThatWaits(t *testing.T) {
	path := newPath(t)
	start(t, path, store.Options{})
	s := open(t, path, store.Options{ChainWait: time.Hour})
	started := make(chan error, 1)
	go func() { started <- s.Start(context.Background()) }()
	eventually(t, func() bool { return strings.Contains(s.Ready().Error(), "waiting for the chain main: process") })
	must(t, s.Close())
	if err := <-started; !errors.Is(err, context.Canceled) {
		t.Errorf("Start() error = %v, want Canceled", err)
	}
}

func TestJournalIsAppendOnly(t *testing.T) {
	path := newPath(t)
	keep(t, start(t, path, store.Options{}), 1)
	db, err := sql.Open("sqlite", dataSource(path))
	must(t, err)
	defer db.Close()
	for table, column := range map[string]string{
		"chain": "name = 'x'", "event": "kind = 2", "exchange": "type = ''", "reply": "outcome = 2", "body": "codec = 1",
	} {
		for _, statement := range []string{"delete from " + table, "update " + table + " set " + column} {
			if _, err := db.Exec(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: error = %v, want a refusal", statement, err)
			}
		}
	}
}

// TestJournalIsNotReplaced: the replacement of a row asks no trigger of deletions.
func TestJournalIsNotReplaced(t *testing.T) {
	path := newPath(t)
	s := start(t, path, store.Options{})
	keep(t, s, 1)
	db, err := sql.Open("sqlite", dataSource(path))
	must(t, err)
	defer db.Close()
	before := dump(t, db)
	for _, statement := range []string{
		"insert or replace into chain select id, 'x', created from chain", "insert or replace into event select chain, seq, at, 9, exchange, doc, hash from event",
		"insert or replace into exchange select * from exchange", "insert or replace into reply select exchange, at, 9, nhs_found, chain, seq from reply",
		"insert or replace into body select exchange, chain, seq, 1, key_id, data from body",
	} {
		_, _ = db.Exec(statement) // refused, or ignored
		if after := dump(t, db); after != before {
			t.Errorf("%s: the journal was %s, and is %s", statement, before, after)
		}
	}
}

// dump writes what the journal holds, as far as the test changes it.
func dump(t *testing.T, db *sql.DB) (text string) {
	t.Helper()
	must(t, db.QueryRow(`select (select group_concat(id || name) from chain) || ';' || (select group_concat(seq || ' ' || kind) from event) || ';' ||
		(select count(*) from exchange) || ';' || (select group_concat(outcome) from reply) || ';' || (select group_concat(codec) from body)`).Scan(&text))
	return text
}

func TestNamesThatCannotBe(t *testing.T) {
	if _, err := Open("", store.Options{}); err == nil {
		t.Error("Open() without a file: want an error")
	}
	s := open(t, newPath(t), store.Options{Chain: strings.Repeat("x", 51)})
	if err := s.Start(deadline(t)); err == nil || !strings.Contains(err.Error(), "51 bytes") {
		t.Errorf("Start() error = %v, want one about the chain's name", err)
	}
}

func TestFaultsThatPass(t *testing.T) {
	for code, want := range map[int]bool{
		lib.SQLITE_BUSY: true, lib.SQLITE_FULL: true, lib.SQLITE_IOERR_FSYNC: true, lib.SQLITE_BUSY_SNAPSHOT: true,
		lib.SQLITE_NOTADB: false, lib.SQLITE_CORRUPT: false, lib.SQLITE_READONLY: false, lib.SQLITE_CANTOPEN: false, 999: false,
	} {
		err := fmt.Errorf("wrapped: %w", &fault{"open", code})
		if got := passes(err); got != want {
			t.Errorf("passes(%v) = %t, want %t", err, got, want)
		}
	}
	if passes(store.ErrSchema) {
		t.Error("a schema that is not known does not pass")
	}
}

// TestAReasonToWaitIsLoggedOnce: the file is tried every second.
func TestAReasonToWaitIsLoggedOnce(t *testing.T) {
	var log strings.Builder
	s := open(t, newPath(t), store.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, code := range []int{lib.SQLITE_FULL, lib.SQLITE_FULL, lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_IOERR} {
		s.awaits(&fault{"open", code})
	}
	if got := strings.Count(log.String(), "store unavailable"); got != 2 {
		t.Errorf("two reasons were logged %d times:\n%s", got, log.String())
	}
	if err := s.Ready(); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Ready() = %v, want ErrUnavailable", err)
	}
}

// TestNothingIsCommittedWithoutAWriter: a positive answer does not hang on what the store
// thinks of itself.
func TestNothingIsCommittedWithoutAWriter(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "journal.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.unusable(nil)
	c := &call{done: make(chan error, 1)}
	if err := s.flush(nil, []*call{c}); err != nil {
		t.Errorf("flush() = %v", err)
	}
	if err := <-c.done; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("the caller was told %v, want ErrUnavailable", err)
	}
}
