// Package sqlite is a [store.Store] in one file, with nothing to set up: for one instance
// of the service, its commands beside it, trials and demonstrations.
//
//	s, err := sqlite.Open("/var/lib/spinetrace/spinetrace.db", store.Options{})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	if err := s.Start(ctx); err != nil {
//		return err
//	}
//	receipt, err := s.Commit(ctx, commit)
//
// One goroutine writes, on one connection: commits that wait at the same time share a
// transaction, and each is synchronised to disk before it returns. Readers have
// connections of their own that cannot write.
//
// Processes may share the file as long as each writes its own chain. Who writes a chain
// holds a lock on the file PATH.CHAIN.lock; the system gives it back when the process ends,
// however it ends. The database must be on a disk of this machine: neither the locks nor
// the write-ahead log work over a network. While it is open, the newest commits are in
// PATH-wal: a copy of one file without the other is worth nothing.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"spinetrace/store"
)

// A Store keeps the journal in an SQLite file. It is safe for concurrent use.
type Store struct {
	path   string
	o      store.Options
	packer *store.Packer

	queue   chan *call
	jobs    chan job
	closing chan struct{}
	running sync.WaitGroup // Start while it waits, then the writing goroutine

	mu      sync.Mutex
	started bool
	closed  bool
	cancel  context.CancelFunc // of the Start that waits
	down    error              // why commits are not tried; nil when they are
	unkeyed error              // why bodies must not be written: a command lacks the key
	alarm   error              // what an operator must know although they are
	readers *readers
	chain   *flock.Flock
}

var _ store.Store = (*Store)(nil)

var errNotStarted = errors.New("not started")

// Open makes a Store over the file at path, which need not exist yet. It does not touch
// the disk: see [Store.Start].
func Open(path string, o store.Options) (*Store, error) {
	if path == "" {
		return nil, errors.New("sqlite: open: no file named")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	packer, err := store.NewPacker()
	if err != nil {
		return nil, fmt.Errorf("sqlite: open: %w", err)
	}
	return &Store{
		path: path, o: o.WithDefaults(), packer: packer,
		queue: make(chan *call), jobs: make(chan job), closing: make(chan struct{}), down: errNotStarted,
	}, nil
}

// Start creates the file if there is none, brings its schema up to date and takes the
// chain. Errors are those of [store.Store]; each says in one sentence what to do. A store
// is started once.
func (s *Store) Start(ctx context.Context) error {
	ctx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.running.Done()
	if err := s.start(ctx); err != nil {
		s.unusable(err)
		return err
	}
	return nil
}

func (s *Store) start(ctx context.Context) error {
	chain, err := s.takeChain(ctx)
	if err != nil {
		return err
	}
	w, r, err := s.connect(ctx)
	if err != nil {
		return errors.Join(err, chain.Unlock())
	}
	s.serve(chain, w, r)
	return nil
}

// serve begins to take commits.
func (s *Store) serve(chain *flock.Flock, w *writer, r *readers) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chain, s.readers, s.down, s.unkeyed = chain, r, nil, w.unkeyed
	s.running.Go(func() { s.run(w) })
}

// begin marks the store as started and makes Close end the wait.
func (s *Store) begin(ctx context.Context) (context.Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.closed {
		return nil, errors.New("sqlite: start: a store is started once")
	}
	s.started = true
	s.running.Add(1)
	ctx, s.cancel = context.WithCancel(ctx)
	return ctx, nil
}

// connect opens the file. Faults that pass are waited out.
func (s *Store) connect(ctx context.Context) (*writer, *readers, error) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		w, r, err := openAll(ctx, s.path, s.o, true)
		if err == nil || !passes(err) {
			return w, r, err
		}
		s.awaits(err)
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("sqlite: start: %w: %w", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// openAll opens the connection that writes and those that read.
func openAll(ctx context.Context, path string, o store.Options, create bool) (*writer, *readers, error) {
	w, err := openWriter(ctx, path, o, create)
	if err != nil {
		return nil, nil, err
	}
	r, err := openReaders(ctx, path)
	if err != nil {
		return nil, nil, errors.Join(err, w.shut())
	}
	return w, r, nil
}

// awaits makes err the reason why no commit is tried, and logs it unless it was before.
func (s *Store) awaits(err error) {
	s.mu.Lock()
	before := s.down
	s.down = err
	s.mu.Unlock()
	if before == nil || before.Error() != err.Error() {
		s.o.Log.Warn("store unavailable", "err", err)
	}
}

// unusable makes err the reason why no commit is tried.
func (s *Store) unusable(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

// Ready implements [store.Store].
func (s *Store) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return unavailable(s.down)
	}
	return s.alarm
}

// usable returns nil if commits are tried.
func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return unavailable(s.down)
	}
	return nil
}

// Close implements [store.Store]. It may be called at any time, and again.
func (s *Store) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.running.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = errors.New("closed")
	chain := s.chain
	if s.chain = nil; chain == nil {
		return nil
	}
	if err := chain.Unlock(); err != nil {
		return fmt.Errorf("sqlite: close: %w", err)
	}
	return nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", store.ErrUnavailable, err) }
