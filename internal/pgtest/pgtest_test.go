//go:build unix

package pgtest_test

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"go.uber.org/goleak"

	"spinetrace/internal/pgtest"
)

// asChild makes a second copy of the test program hold a server and wait to
// be killed.
const asChild = "PGTEST_CHILD"

var pg pgtest.Shared

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		os.Exit(pg.Main(child{}).Run())
	}
	goleak.VerifyTestMain(pg.Main(m))
}

// TestPrograms fails where the machine lacks what the tests of every store
// need; `make test` asks it whether to install them.
func TestPrograms(t *testing.T) {
	if _, err := pgtest.Programs(); err != nil {
		t.Fatal(err)
	}
}

func TestProgramsReportsAnEmptyFolder(t *testing.T) {
	t.Setenv("SPINETRACE_TEST_PG_BIN", t.TempDir())
	if dir, err := pgtest.Programs(); !errors.Is(err, pgtest.ErrNoPrograms) {
		t.Errorf("Programs() = %q, %v, want %v", dir, err, pgtest.ErrNoPrograms)
	}
}

func TestProgramsRefusesAnOldVersion(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"initdb", "postgres"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) 12.22'\n", name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SPINETRACE_TEST_PG_BIN", dir)
	if dir, err := pgtest.Programs(); !errors.Is(err, pgtest.ErrNoPrograms) {
		t.Errorf("Programs() = %q, %v, want %v", dir, err, pgtest.ErrNoPrograms)
	}
}

func TestDatabasesAreApart(t *testing.T) {
	a, b := open(t, pg.NewDatabase(t, "")), open(t, pg.NewDatabase(t, ""))
	mustExec(t, a, "create table held (n int not null)")
	mustExec(t, b, "create table held (n int not null)")
	mustExec(t, a, "insert into held values (1)")
	if got := count(t, b); got != 0 {
		t.Errorf("rows in the second database = %d, want 0", got)
	}
}

func TestTemplateIsFilledOnce(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{}) // the shared one is filled already when tests run again
	fills := 0
	fill := func(dsn string) error {
		fills++
		db, err := sql.Open("postgres", dsn)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.Exec("create table held (n int not null); insert into held values (1)")
		return err
	}
	for range 3 {
		db := open(t, srv.NewDatabase(t, srv.Template(t, "filled", fill)))
		if got := count(t, db); got != 1 {
			t.Errorf("rows copied from the template = %d, want 1", got)
		}
	}
	if fills != 1 {
		t.Errorf("template filled %d times, want once", fills)
	}
}

func TestCommittedRowsOutliveTheServer(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{Fsync: true})
	db := open(t, srv.NewDatabase(t, ""))
	mustExec(t, db, "create table held (n int not null)")

	for i, end := range []func(testing.TB){srv.Stop, srv.Kill, srv.Restart} {
		mustExec(t, db, "insert into held values (1)")
		end(t)
		srv.Restart(t)
		if got := count(t, db); got != i+1 {
			t.Errorf("after end %d: %d rows, want %d", i, got, i+1)
		}
	}
}

func TestStoppedServerRefuses(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{})
	dsn := srv.NewDatabase(t, "")
	srv.Stop(t)
	srv.Stop(t) // the second finds nothing to do
	if err := open(t, dsn).Ping(); err == nil {
		t.Error("a stopped server accepted a connection")
	}
}

func TestOptions(t *testing.T) {
	srv := pgtest.Start(t, pgtest.Options{
		Password: "correct horse",
		Settings: map[string]string{"max_connections": "7"},
	})
	dsn := srv.NewDatabase(t, "")
	var got string
	if err := open(t, dsn).QueryRow("show max_connections").Scan(&got); err != nil || got != "7" {
		t.Errorf("max_connections = %q, %v, want 7", got, err)
	}
	if err := open(t, strings.Replace(dsn, "correct", "wrong", 1)).Ping(); err == nil {
		t.Error("a wrong password was accepted")
	}
}

func TestServerEndsWithItsTestProcess(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child told no socket: %v", err)
	}
	socket := strings.TrimSpace(line)
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("while the child lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	awaitGone(t, filepath.Dir(socket))
}

// child is what the second copy runs in place of tests.
type child struct{}

func (child) Run() int {
	fmt.Println(pg.Server(failNow{}).Socket())
	_, _ = io.Copy(io.Discard, os.Stdin) // blocks until killed
	return 1
}

// failNow ends a process that has no test to fail.
type failNow struct{ testing.TB }

func (failNow) Helper() {}
func (failNow) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

func awaitGone(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return
		}
	}
	t.Errorf("the killed process left its server's folder behind")
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow("select count(*) from held").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
