package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"spinetrace/store"
)

// lockPoll is how often a lock that somebody else has is tried again.
const lockPoll = 20 * time.Millisecond

// takeChain locks the chain for this store, or says who has it.
func (s *Store) takeChain(ctx context.Context) (*flock.Flock, error) {
	if n := len(s.o.Chain); n > 50 {
		return nil, fmt.Errorf("sqlite: start: the chain's name has %d bytes; it may have 50", n)
	}
	path := s.path + "." + url.QueryEscape(s.o.Chain) + ".lock"
	s.unusable(fmt.Errorf("waiting for the chain %s: %s", s.o.Chain, holder(path)))
	wait, cancel := context.WithTimeout(ctx, s.o.ChainWait)
	defer cancel()
	lock, err := lockFile(wait, path)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("sqlite: start: waiting for the chain %s: %w", s.o.Chain, ctx.Err())
	case wait.Err() != nil:
		return nil, fmt.Errorf("%w: %s is written by %s", store.ErrChainInUse, s.o.Chain, holder(path))
	case err != nil:
		return nil, fmt.Errorf("sqlite: start: %w", err)
	}
	if err := sign(path, s.o.Now()); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: start: %w", err), lock.Unlock())
	}
	return lock, nil
}

// lockFile locks the file at path, made if need be, trying until ctx ends.
func lockFile(ctx context.Context, path string) (*flock.Flock, error) {
	if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder %s does not exist; create it", filepath.Dir(path))
	}
	lock := flock.New(path, flock.SetPermissions(0o600))
	_, err := lock.TryLockContext(ctx, lockPoll)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("no permission to write in the folder %s; grant it to this user", filepath.Dir(path))
	}
	return lock, err
}

// sign writes into a lock file who holds it. The first byte stays free: it is the one that
// Windows locks, and then lets nobody else read.
func sign(path string, now time.Time) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	text := fmt.Sprintf("process %d on %s since %s", os.Getpid(), host, now.UTC().Format(time.RFC3339))
	if _, err := f.WriteAt([]byte(text), 1); err != nil {
		return err
	}
	return f.Truncate(int64(1 + len(text)))
}

// holder reads what sign wrote.
func holder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "another process"
	}
	defer f.Close()
	text := make([]byte, 200)
	n, _ := f.ReadAt(text, 1) // a shorter file is no error here
	if n == 0 {
		return "another process"
	}
	return strings.ToValidUTF8(string(text[:n]), "?")
}
