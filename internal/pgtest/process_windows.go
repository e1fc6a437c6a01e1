package pgtest

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// errWindows is what every start ends with: the guard needs a Unix shell,
// sockets and signals.
var errWindows = fmt.Errorf("pgtest: test servers run on Unix only: %w", errors.ErrUnsupported)

type process struct{}

func initDir(bin, superuser string, opts Options) (string, error) { return "", errWindows }
func launch(bin, dir string, settings []string) (*process, error) { return nil, errWindows }

func (p *process) gone(time.Duration) bool       { return true }
func (p *process) interrupt(time.Duration) error { return errWindows }
func (p *process) kill(time.Duration) error      { return errWindows }
func (p *process) end(keep bool) error           { return errWindows }
func (p *process) tail() string                  { return "" }

// Standby is for Unix only.
func (s *Server) Standby(tb testing.TB, _ string) *Server {
	tb.Helper()
	tb.Fatal(errWindows)
	return nil
}

// Suspend is for Unix only.
func Suspend(pid int) error { return errWindows }

// Resume is for Unix only.
func Resume(pid int) error { return errWindows }
