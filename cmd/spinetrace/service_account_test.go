package main

import (
	"context"
	"fmt"
	"testing"

	"spinetrace/store"
)

// TestEveryStartHasItsStop: a service that is told to stop in the middle of its start leaves both
// rows or neither, on either store.
func TestEveryStartHasItsStop(t *testing.T) {
	both := []store.Kind{store.Started, store.Stopped}
	for name, tt := range map[string]struct {
		stop func(*interruptedStart)
		want []store.Kind
	}{
		"before the row is written":      {func(s *interruptedStart) { s.onRead = true }, nil},
		"while it is written":            {func(s *interruptedStart) { s.onCommit = true }, both},
		"and nobody said it was written": {func(s *interruptedStart) { s.onCommit, s.unsaid = true, true }, both},
		"and it was not written":         {func(s *interruptedStart) { s.onCommit, s.unsaid, s.lost = true, true, true }, nil},
	} {
		for where, dsn := range map[string]func(*testing.T) map[string]string{
			"SQLite":     func(*testing.T) map[string]string { return nil },
			"PostgreSQL": func(t *testing.T) map[string]string { return map[string]string{"STORE": migrated(t)} },
		} {
			t.Run(name+" on "+where, func(t *testing.T) {
				r := prepareService(t, dsn(t))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := &interruptedStart{Store: r.store, signal: cancel}
				tt.stop(s)
				r.store = s
				if err := r.run(ctx); err != nil {
					t.Fatalf("run() = %v\n%s", err, r.log)
				}
				var got []store.Kind
				for _, e := range r.events(t) {
					if e.Kind == store.Started || e.Kind == store.Stopped {
						got = append(got, e.Kind)
					}
				}
				if fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("the journal has %v, want %v", got, tt.want)
				}
			})
		}
	}
}

// interruptedStart is a store during whose first act of a kind the signal to stop comes.
type interruptedStart struct {
	store.Store
	signal           context.CancelFunc
	onRead, onCommit bool
	unsaid           bool // of the commit the service hears that nobody knows what became of it
	lost             bool // nothing became of it
	done             bool
}

// Heads implements [store.Audit].
func (s *interruptedStart) Heads(ctx context.Context) ([]store.Head, error) {
	heads, err := s.Store.Heads(ctx)
	if s.onRead {
		s.signal()
	}
	return heads, err
}

// Commit implements [store.Journal].
func (s *interruptedStart) Commit(ctx context.Context, c store.Commit) (r store.Receipt, err error) {
	if s.done || !s.onCommit {
		return s.Store.Commit(ctx, c)
	}
	s.done = true
	s.signal()
	if !s.lost {
		r, err = s.Store.Commit(ctx, c)
	}
	if s.unsaid && err == nil {
		err = store.ErrUnavailable
	}
	return r, err
}
