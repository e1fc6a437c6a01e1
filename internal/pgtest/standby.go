//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Standby starts a server that follows s, under the given name in synchronous_standby_names, and
// ends with tb. It has the databases of s, by the same names: see [Server.DSN].
func (s *Server) Standby(tb testing.TB, name string) *Server {
	tb.Helper()
	standby, err := s.standby(name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := standby.close(); err != nil {
			tb.Error(err)
		}
	})
	return standby
}

func (s *Server) standby(name string) (_ *Server, err error) {
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := giveAway(dir); err != nil {
		return nil, err
	}
	// A link to the server may have been put elsewhere, without all that came with it.
	bin, err := filepath.EvalSymlinks(filepath.Join(s.bin, "postgres"))
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	cmd, err := command(dir, filepath.Join(filepath.Dir(bin), "pg_basebackup"), "-D", filepath.Join(dir, "data"), "--write-recovery-conf",
		"--checkpoint=fast", "--wal-method=stream", "--no-sync",
		"-d", fmt.Sprintf("host=%s user=%s application_name=%s", s.dir, Superuser, name))
	if err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pgtest: pg_basebackup: %w\n%s", err, out)
	}
	standby := &Server{bin: s.bin, dir: dir, opts: s.opts, templates: make(map[string]error)}
	return standby, standby.start()
}
