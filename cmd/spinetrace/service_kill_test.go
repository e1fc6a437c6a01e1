package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"spinetrace/internal/pgtest"
	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// TestKill9 ends the service again and again while it works, at moments that nobody chose,
// and starts it again over the same database: it is killed, or the database is killed under
// it and recovers first, or it is told to stop. Senders send what was not answered once more.
// Afterwards every AA that was ever seen is in the journal, every message has one answer,
// and the chain holds.
func TestKill9(t *testing.T) {
	t.Parallel()
	people := pdstest.People()
	sim := smsptest.NewServer(t, people, smsptest.Fault{Rate: 0.3, Delay: 20 * time.Millisecond})
	srv := pgtest.Start(t, pgtest.Options{Fsync: true})
	dsn := program.migrated(t, srv)
	set := serveSettings(dsn, sim.URL, map[string]string{"REPLY_BUDGET": "2s", "COMMIT_TIMEOUT": "1900ms", "DUPLICATE_WINDOW_QUERY": "1h"})

	var seen book
	var where signpost
	over := make(chan struct{})
	senders, ctx := errgroup.WithContext(t.Context())
	for n := range 8 {
		s := &insistent{
			author: author{sender: fmt.Sprintf("PAS%02d", n), people: people, n: n},
			where:  &where, seen: &seen, over: over,
		}
		senders.Go(func() error { return s.run(ctx) })
	}
	for n := range kills(t) {
		i := launch(t, set)
		where.set(i.mllp)
		awaitAnswers(t, ctx, &seen, 1+rand.IntN(80))
		switch n % 4 {
		case 2:
			srv.Kill(t)
			srv.Restart(t)
			awaitAnswers(t, ctx, &seen, 1+rand.IntN(80))
		case 3:
			i.stop(t)
		}
		i.kill()
	}
	i := launchReady(t, set)
	where.set(i.mllp)
	close(over)
	if err := senders.Wait(); err != nil {
		t.Fatal(err)
	}
	i.stop(t)

	db := openJournal(t, dsn)
	stories := readStories(t, db)
	readBodies(t, db, stories)
	checkRecorded(t, stories, &seen)
	checkChains(t, db, dsn)
	if a, differ := seen.differing(); differ {
		t.Errorf("%s %s was answered in two ways", a.kind, a.controlID)
	}
	resumed := 0
	for _, s := range stories {
		resumed += s.count(store.Resumed)
	}
	t.Logf("%d answers seen, %d exchanges taken up again after a kill", len(seen.all), resumed)
}

// kills is how often TestKill9 and TestCrashes end the service.
func kills(t *testing.T) int {
	t.Helper()
	const name = "SPINETRACE_TEST_KILLS"
	if os.Getenv(name) == "" {
		return 8
	}
	n, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		t.Fatalf("%s is not a number", name)
	}
	return n
}

// awaitAnswers returns a little after so many more answers were seen.
func awaitAnswers(t *testing.T, senders context.Context, seen *book, more int) {
	t.Helper()
	want := seen.len() + more
	eventually(t, func() bool {
		return seen.len() >= want || senders.Err() != nil
	}, func() string { return "the senders get no answers" })
}

// signpost tells senders where the service listens now.
type signpost struct {
	mu   sync.Mutex
	addr string
}

func (s *signpost) set(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr = addr
}

func (s *signpost) get() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// insistent is a sender with a queue: it sends one message until that is answered, then the
// next.
type insistent struct {
	author
	where *signpost
	seen  *book
	over  <-chan struct{}
	line  *line
}

// run sends until over is closed. What was begun is delivered.
func (s *insistent) run(ctx context.Context) error {
	defer func() {
		if s.line != nil {
			s.line.conn.Close()
		}
	}()
	forms := append(append([]form{}, traced...), queries[0], untraced[0])
	for {
		select {
		case <-s.over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if err := s.deliver(ctx, s.write(forms[s.n%len(forms)])); err != nil {
			return err
		}
	}
}

// deliver sends one message until it is answered with something else than "not now".
func (s *insistent) deliver(ctx context.Context, m message) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		a, err := s.try(m)
		switch {
		case errors.Is(err, errWrongAnswer):
			return err
		case err == nil && a.code != "AR":
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%s %s is never answered: %w", m.kind, m.controlID, ctx.Err())
		}
	}
}

func (s *insistent) try(m message) (a answered, err error) {
	if s.line == nil {
		if s.line, err = dialLine(s.where.get()); err != nil {
			return a, err
		}
	}
	all, err := s.line.talk(m)
	if err != nil {
		s.line.conn.Close()
		s.line = nil
		return a, err
	}
	s.seen.add(all...)
	return all[0], nil
}
