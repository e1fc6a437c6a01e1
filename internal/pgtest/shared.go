package pgtest

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared is the server that the tests of one package use together, each in a
// database of its own. It is a package-level variable of the tests; the zero
// value is ready. Main must be called, or the server is left to the end of
// the process.
type Shared struct {
	// Options are how the server is started.
	Options Options

	once   sync.Once
	server *Server
	err    error
}

// Server returns the server, which the first call starts.
func (s *Shared) Server(tb testing.TB) *Server {
	tb.Helper()
	s.once.Do(func() { s.server, s.err = start(s.Options) })
	if s.err != nil {
		tb.Fatal(s.err)
	}
	return s.server
}

// NewDatabase is [Server.NewDatabase] of the shared server.
func (s *Shared) NewDatabase(tb testing.TB, template string) (dsn string) {
	tb.Helper()
	return s.Server(tb).NewDatabase(tb, template)
}

// Runner runs tests and returns the exit code; *testing.M is one, and
// goleak.VerifyTestMain takes one.
type Runner interface {
	Run() int
}

// Main returns a Runner that runs m and then ends the server, if any test
// asked for it.
func (s *Shared) Main(m Runner) Runner { return &mainRunner{m, s} }

type mainRunner struct {
	m      Runner
	shared *Shared
}

func (r *mainRunner) Run() int {
	code := r.m.Run()
	if err := r.shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func (s *Shared) close() error {
	if s.server == nil {
		return nil
	}
	return s.server.close()
}
