package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"spinetrace/exchange"
	"spinetrace/hl7v2"
	"spinetrace/smsp"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// pattern is what a story has committed, in order.
type pattern struct {
	story
	commits []store.Commit
	fresh   []string // the ids of calls, answers and letters, which are others in every performance

	endpoint string // of the provider
}

// rehearsalTime bounds a rehearsal, which takes milliseconds.
const rehearsalTime = 30 * time.Second

// rehearse plays every story once, each before a store of its own.
func rehearse(ctx context.Context) (patterns []pattern, err error) {
	ctx, cancel := context.WithTimeout(ctx, rehearsalTime)
	defer cancel()
	people, err := population()
	if err != nil {
		return nil, err
	}
	simulator := smsptest.New(people)
	simulator.Now = rehearsedTime
	provider := httptest.NewServer(simulator)
	defer provider.Close()
	for _, s := range stories {
		p, err := s.rehearse(ctx, &smsp.Client{Endpoint: provider.URL, ODS: "RXX01", Now: rehearsedTime})
		if err != nil {
			return nil, fmt.Errorf("rehearse %s: %w", s.name, err)
		}
		p.endpoint = provider.URL
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// rehearsedTime is the clock of a rehearsal; it stands still.
func rehearsedTime() time.Time { return time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC) }

// rehearse sends the story's message, and waits until all that follows from it is committed.
func (s story) rehearse(ctx context.Context, provider *smsp.Client) (_ pattern, err error) {
	defer provider.CloseIdleConnections()
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		return pattern{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := sqlite.Open(filepath.Join(dir, "rehearsal.db"), store.Options{Now: rehearsedTime})
	if err != nil {
		return pattern{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Start(ctx); err != nil {
		return pattern{}, err
	}
	r := &recorder{Store: db, bell: make(chan struct{}, 1)}
	h := s.handler(r, provider)
	relay := &exchange.Relay{Destination: "pas", Sender: pas{}, Outbox: r, Journal: r, Audit: r, Now: rehearsedTime}
	h.Posted = relay.Wake

	work, stop := context.WithCancel(ctx)
	var behind sync.WaitGroup
	behind.Go(func() { h.Work(work) })
	behind.Go(func() { relay.Run(work) })
	defer behind.Wait()
	defer stop()
	if _, err := h.HandleMLLP(ctx, netip.MustParseAddrPort("192.0.2.7:40001"), nil, []byte(s.message)); err != nil {
		return pattern{}, err
	}
	return r.pattern(ctx, s)
}

// handler is set up as serve does it by default, with a PAS that is told of results.
func (s story) handler(r *recorder, provider *smsp.Client) *exchange.Handler {
	return &exchange.Handler{
		Tracer: provider, Journal: r, Index: r, Queue: r, Audit: r, Outbox: r, Backlog: r, Updates: true,
		ODS: "RXX01", RetraceAfter: 168 * time.Hour, Slow: func() bool { return s.slow },
		Now: rehearsedTime, NewControlID: func() string { return wordAnswerID },
		Budget: rehearsalTime, CommitTimeout: rehearsalTime,
	}
}

// recorder keeps the commits that a store was given.
type recorder struct {
	store.Store
	bell chan struct{} // has something in it when commits has grown

	mu      sync.Mutex
	commits []store.Commit
}

// Commit implements [store.Journal].
func (r *recorder) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	receipt, err := r.Store.Commit(ctx, c)
	if err != nil {
		return receipt, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits = append(r.commits, c)
	select {
	case r.bell <- struct{}{}:
	default:
	}
	return receipt, nil
}

// pattern waits for the story's last event and returns what led to it.
func (r *recorder) pattern(ctx context.Context, s story) (pattern, error) {
	for {
		if p := r.recorded(s); p.over() {
			return p, nil
		}
		select {
		case <-r.bell:
		case <-ctx.Done():
			return pattern{}, fmt.Errorf("no event %q: %w", s.ends, ctx.Err())
		}
	}
}

func (r *recorder) recorded(s story) pattern {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := pattern{story: s, commits: slices.Clone(r.commits)}
	for _, c := range p.commits {
		for _, e := range c.Entries {
			ids := []string{e.Facts.MessageID, e.Facts.TrackingID, e.Facts.PayloadID, e.Facts.AnswerID}
			if e.Kind == store.Queued {
				ids = append(ids, e.Facts.ControlID)
			}
			p.fresh = append(p.fresh, ids...)
		}
	}
	slices.Sort(p.fresh)
	p.fresh = slices.DeleteFunc(slices.Compact(p.fresh), func(id string) bool { return id == "" })
	return p
}

// over tells whether the pattern has got to its last event.
func (p pattern) over() bool {
	return slices.ContainsFunc(p.commits, func(c store.Commit) bool {
		return slices.ContainsFunc(c.Entries, func(e store.Entry) bool { return e.Kind == p.ends })
	})
}

// pas is a receiver of updates that takes everything.
type pas struct{}

var msh10 = hl7v2.MustPath("MSH-10")

// Send implements [exchange.Sender].
func (pas) Send(_ context.Context, update []byte) ([]byte, error) {
	m, err := hl7v2.Parse(update)
	if err != nil {
		return nil, err
	}
	answer := hl7v2.Reply(m, hl7v2.Header{Type: "ACK^A31^ACK", ControlID: wordAnswerID, Time: rehearsedTime()})
	return answer.MSA(hl7v2.AA, m.Raw(msh10), "").Bytes(), nil
}
