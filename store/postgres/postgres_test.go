package postgres_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"spinetrace/internal/pgtest"
	"spinetrace/store"
	"spinetrace/store/postgres"
	"spinetrace/store/storetest"
)

var pg pgtest.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(pg.Main(m)) }

// migrate is what fills the template database.
func migrate(dsn string) error {
	if _, err := postgres.Migrate(context.Background(), dsn); err != nil {
		return err
	}
	return postgres.ApplyRoles(context.Background(), dsn)
}

// newDatabase returns the data source of a migrated database, for its owner.
func newDatabase(tb testing.TB) (dsn string) {
	tb.Helper()
	srv := pg.Server(tb)
	return srv.NewDatabase(tb, srv.Template(tb, "migrated", migrate))
}

// as returns the data source for a login that has one role of ours.
func as(tb testing.TB, dsn, role string) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	login := role + "_login"
	exec(tb, query(tb, dsn), fmt.Sprintf(`do $$ begin create role %s login in role %s;
		exception when duplicate_object or unique_violation then null; end $$`, login, role))
	u.User = url.User(login)
	return u.String()
}

// logLines is a log that a test reads while the store writes it.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

// logger returns a logger that writes to l.
func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Write implements [io.Writer].
func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count returns how often text has been logged.
func (l *logLines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// The suite runs with the rights that the service has, and no more.
func TestStore(t *testing.T) {
	storetest.Exercise(t, storetest.Backend{NewDatabase: func(tb testing.TB) storetest.Database {
		dsn := newDatabase(tb)
		with := func(role string) func(testing.TB, store.Options) store.Store {
			login := as(tb, dsn, role)
			return func(tb testing.TB, o store.Options) store.Store {
				s, err := postgres.Open(login, o)
				if err != nil {
					tb.Fatal(err)
				}
				return s
			}
		}
		return storetest.Database{
			Open:       with("spinetrace_runtime"),
			OpenPruner: with("spinetrace_pruner"),
			Exec: func(tb testing.TB, statement string) {
				exec(tb, query(tb, dsn), "set session_replication_role = replica; "+statement)
			},
		}
	}})
}

// open returns a store that is not started, and closed when the test ends.
func open(tb testing.TB, dsn string, o store.Options) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(dsn, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func start(tb testing.TB, dsn string, o store.Options) *postgres.Store {
	tb.Helper()
	s := open(tb, dsn, o)
	if err := s.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

// query opens a pool for looking behind the store's back.
func query(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

func exec(tb testing.TB, db *sql.DB, statement string) {
	tb.Helper()
	if _, err := db.Exec(statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

func number(tb testing.TB, db *sql.DB, q string, args ...any) (n int) {
	tb.Helper()
	if err := db.QueryRow(q, args...).Scan(&n); err != nil {
		tb.Fatalf("%s: %v", q, err)
	}
	return n
}

// message is a commit as of an untraced message: received and answered in one.
func message(control string) store.Commit {
	frame := []byte("MSH|^~\\&|PAS|RXX|SPINETRACE|RXX|20261122120000||ADT^A28|" + control + "|P|2.4\rPID|1||R7700001^^^RXX^MR||EXAMPLE^ANNE\r")
	return store.Commit{
		Exchange: store.NewID(),
		Open: &store.Opening{
			Application: "PAS", Facility: "RXX", ControlID: control, Type: "ADT^A28", LocalID: "R7700001", NHSNumber: "9990000018",
			Claim: &store.Claim{Application: "PAS", Facility: "RXX", ControlID: control, Digest: sha256.Sum256(frame), Window: time.Hour},
		},
		Entries: []store.Entry{{
			Kind:  store.Exchanged,
			Facts: store.Facts{Application: "PAS", Facility: "RXX", ControlID: control, Type: "ADT^A28", LocalID: "R7700001", NHSSent: "9990000018"},
			Parts: []store.Part{{Kind: store.Frame, Data: frame}, {Kind: store.Reply, Data: []byte("MSH|^~\\&|\rMSA|AA|" + control + "\r")}},
		}},
		Close: &store.Closing{Outcome: store.NotTraced},
	}
}

// first and second are the two commits of a traced message.
func first(control string) store.Commit {
	c := message(control)
	c.Close = nil
	c.Entries[0].Kind = store.Received
	c.Entries[0].Parts = c.Entries[0].Parts[:1]
	c.Entries = append(c.Entries, store.Entry{Kind: store.Asked, Facts: store.Facts{Attempt: 1},
		Parts: []store.Part{{Kind: store.Request, Data: []byte("<soap/>")}}})
	return c
}

func second(id store.ID) store.Commit {
	return store.Commit{
		Exchange: id,
		Entries: []store.Entry{
			{Kind: store.Answered, Facts: store.Facts{Attempt: 1}, Parts: []store.Part{{Kind: store.Response, Data: []byte("<soap/>")}}},
			{Kind: store.Replied, Facts: store.Facts{Ack: "AA"}, Parts: []store.Part{{Kind: store.Reply, Data: []byte("MSH|\rMSA|AA\r")}}},
		},
		Close: &store.Closing{Outcome: store.Traced, NHSNumber: "9990000018"},
	}
}

func commit(tb testing.TB, s store.Journal, c store.Commit, want store.Status) store.Receipt {
	tb.Helper()
	r, err := s.Commit(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	if r.Status != want {
		tb.Fatalf("status %v, want %v", r.Status, want)
	}
	return r
}

// verify walks the chain with its bodies.
func verify(tb testing.TB, s store.Audit, chain string) store.Walk {
	tb.Helper()
	w, err := store.Verify(tb.Context(), s, chain, true, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func TestMessages(t *testing.T) {
	dsn := newDatabase(t)
	s := start(t, dsn, store.Options{})
	for i := range 10 {
		commit(t, s, message(fmt.Sprint("A", i)), store.Kept)
	}
	c := first("B")
	commit(t, s, c, store.Kept)
	commit(t, s, second(c.Exchange), store.Kept)
	commit(t, s, second(c.Exchange), store.AlreadyClosed)
	again := first("B")
	if r := commit(t, s, again, store.Duplicate); r.First != c.Exchange {
		t.Errorf("First = %v, want %v", r.First, c.Exchange)
	}
	if w := verify(t, s, "main"); w.Events != 10+2+2+2+1 {
		t.Errorf("%d events, want 17", w.Events)
	}
	found, err := s.Search(t.Context(), store.Search{ControlID: "B", Limit: 10})
	if err != nil || len(found) != 1 || found[0].Outcome != store.Traced {
		t.Errorf("Search() = %+v, %v", found, err)
	}
}
