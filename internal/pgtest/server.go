package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"
)

// Superuser is the role that [Server.DSN] logs in as.
const Superuser = "postgres"

const (
	// startPatience covers crash recovery on a machine busy with other tests.
	startPatience = 60 * time.Second
	stopPatience  = 30 * time.Second
	// pollPause is the longest wait between two tries to connect while starting.
	pollPause = 20 * time.Millisecond
)

// Options are how a server is started. The zero value is what most tests want.
type Options struct {
	// Fsync makes the server flush what it commits, for tests of what survives
	// a crash. By default it does not, which is several times faster.
	Fsync bool

	// Password, when set, is the superuser's, and every role needs one to log
	// in. By default everybody is trusted.
	Password string

	// Initdb are further arguments of initdb, such as "--waldir=/mnt/wal".
	Initdb []string

	// Settings are further server settings, such as "max_connections": "20".
	// They win over those this package makes.
	Settings map[string]string
}

// Server is a running PostgreSQL server, or one that a test has stopped. Its
// methods may be called from several tests at once; those that stop or start
// it are for a server that only one test uses.
type Server struct {
	bin, dir string
	opts     Options

	mu   sync.Mutex // held while starting or stopping, and over proc
	proc *process   // nil while stopped

	templatesMu sync.Mutex
	templates   map[string]error

	databases atomic.Int64
}

// Start starts a server that ends with tb. Tests that leave the server alone
// share one by [Shared], which is cheaper.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	s, err := start(opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func start(opts Options) (*Server, error) {
	bin, err := Programs()
	if err != nil {
		return nil, err
	}
	dir, err := initDir(bin, Superuser, opts)
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, opts: opts, templates: make(map[string]error)}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// start runs the server and waits until it accepts connections.
func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return nil
	}
	p, err := launch(s.bin, s.dir, s.settings())
	if err != nil {
		return err
	}
	if err := s.awaitReady(p); err != nil {
		return errors.Join(fmt.Errorf("%w\n%s", err, p.tail()), p.end(true))
	}
	s.proc = p
	return nil
}

func (s *Server) settings() []string {
	set := map[string]string{
		"listen_addresses":           "",
		"unix_socket_directories":    s.dir,
		"unix_socket_permissions":    "0700",
		"shared_buffers":             "32MB",
		"max_connections":            "200",
		"log_min_error_statement":    "panic",
		"log_min_messages":           "fatal",
		"max_wal_size":               "256MB",
		"dynamic_shared_memory_type": "mmap", // /dev/shm is tiny in containers
	}
	if !s.opts.Fsync {
		set["fsync"], set["full_page_writes"] = "off", "off"
	}
	maps.Copy(set, s.opts.Settings)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		list = append(list, name+"="+set[name])
	}
	return list
}

func (s *Server) awaitReady(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	for {
		err := ping(ctx, s.DSN("postgres"))
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("pgtest: the server accepts no connections: %w", err)
		case p.gone(pollPause): // the pause, cut short if there is nothing to wait for
			return errors.New("pgtest: the server ended while starting")
		}
	}
}

func ping(ctx context.Context, dsn string) error {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

// DSN returns the URL of a database, for the superuser, in the form that
// lib/pq and the STORE setting take. It stays the same over restarts.
func (s *Server) DSN(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(Superuser),
		Path:     "/" + database,
		RawQuery: url.Values{"host": {s.dir}, "sslmode": {"disable"}}.Encode(),
	}
	if s.opts.Password != "" {
		u.User = url.UserPassword(Superuser, s.opts.Password)
	}
	return u.String()
}

// Socket returns the path of the Unix socket the server listens on, for tests
// that put a proxy between it and the code under test.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// NewDatabase creates a database with a name of its own, a copy of template
// or empty if template is "", and returns its DSN. It is dropped, with any
// connection still open to it, when tb ends.
func (s *Server) NewDatabase(tb testing.TB, template string) (dsn string) {
	tb.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	if err := s.create(name, template); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if !s.running() {
			return // the directory goes with the server
		}
		if err := s.exec("drop database if exists " + pq.QuoteIdentifier(name) + " with (force)"); err != nil {
			tb.Error(err)
		}
	})
	return s.DSN(name)
}

// Template returns name, after creating that database and letting fill put
// its schema there, both once for the life of the server. Every connection
// that fill opens must be closed when it returns: PostgreSQL copies only a
// database that nobody uses.
func (s *Server) Template(tb testing.TB, name string, fill func(dsn string) error) string {
	tb.Helper()
	s.templatesMu.Lock()
	defer s.templatesMu.Unlock()
	err, done := s.templates[name]
	if !done {
		err = s.create(name, "")
		if err == nil {
			err = fill(s.DSN(name))
		}
		s.templates[name] = err
	}
	if err != nil {
		tb.Fatalf("pgtest: template %s: %v", name, err)
	}
	return name
}

func (s *Server) create(name, template string) error {
	q := "create database " + pq.QuoteIdentifier(name)
	if template != "" {
		q += " template " + pq.QuoteIdentifier(template)
	}
	return s.exec(q)
}

func (s *Server) exec(query string) error {
	db, err := sql.Open("postgres", s.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	if _, err := db.ExecContext(ctx, query); err != nil {
		return fmt.Errorf("pgtest: %s: %w", query, err)
	}
	return nil
}

func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc != nil
}

// Log returns the last of what the server said of itself, since it was first started.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return ""
	}
	return s.proc.tail()
}

// Stop shuts the server down as an operator would: transactions are rolled
// back, connections closed, everything flushed. It returns when all of the
// server's processes have ended. [Server.Restart] starts it again.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	if err := s.halt((*process).interrupt); err != nil {
		tb.Fatal(err)
	}
}

// Kill ends the server at once, by a signal that it cannot handle, and
// returns when all of its processes have ended. [Server.Restart] then
// recovers it from its log.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	if err := s.halt((*process).kill); err != nil {
		tb.Fatal(err)
	}
}

// Restart stops the server if it runs, starts it over the same data and the
// same DSN, and returns when it accepts connections.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Stop(tb)
	if err := s.start(); err != nil {
		tb.Fatal(err)
	}
}

// Revive waits until the server accepts connections again after trouble, and starts it, as a
// supervisor does, if it has given up.
func (s *Server) Revive(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	p := s.proc
	s.mu.Unlock()
	if p != nil && s.awaitReady(p) == nil {
		return
	}
	if err := errors.Join(s.halt((*process).kill), s.start()); err != nil {
		tb.Fatal(err)
	}
}

// halt ends the server by how and keeps its data.
func (s *Server) halt(how func(p *process, patience time.Duration) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	err := errors.Join(how(s.proc, stopPatience), s.proc.end(true))
	s.proc = nil
	return err
}

// close ends the server without ceremony and removes its data.
func (s *Server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.proc != nil {
		err = s.proc.end(false)
		s.proc = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// SyncTime returns the time of one write of 8 KB and its flush to the server's disk, in
// microseconds, as pg_test_fsync measures it: what a commit costs at the least.
func (s *Server) SyncTime(tb testing.TB) (micros float64) {
	tb.Helper()
	f, err := os.Create(filepath.Join(s.dir, "sync"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	const times = 300
	block := make([]byte, 8192)
	start := time.Now()
	for range times {
		if _, err := f.WriteAt(block, 0); err != nil {
			tb.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			tb.Fatal(err)
		}
	}
	return float64(time.Since(start).Microseconds()) / times
}

// Promote makes a standby take over, and returns when it takes commits.
func (s *Server) Promote(tb testing.TB) {
	tb.Helper()
	if err := s.exec("select pg_promote(true)"); err != nil {
		tb.Fatal(err)
	}
}
