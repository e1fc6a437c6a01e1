package exchange

import (
	"context"
	"iter"
	"testing"
	"time"

	"spinetrace/store"
)

// queue is a store.Queue over the journal in memory, without leases: a claimed item is nobody
// else's until it is settled.
type queue struct {
	store.Audit
	j *memory
}

// enqueue does what a commit says of the queue. j.mu is held.
func (j *memory) enqueue(c store.Commit) {
	for _, s := range c.Settled {
		for i, w := range j.work {
			if w.Exchange != s.Exchange || s.Attempt != 0 && s.Attempt != w.Attempt {
				continue
			}
			if s.Again.IsZero() && !s.Park {
				j.work = append(j.work[:i:i], j.work[i+1:]...)
				break
			}
			j.work[i].Due, j.work[i].Parked, j.work[i].Until = s.Again, s.Park, time.Time{}
		}
	}
	j.work = append(j.work, c.Work...)
}

// Claim implements store.Queue.
func (q queue) Claim(_ context.Context, n int, lease time.Duration) ([]store.Work, error) {
	q.j.mu.Lock()
	defer q.j.mu.Unlock()
	var claimed []store.Work
	for i := range q.j.work {
		if w := &q.j.work[i]; len(claimed) < n && !w.Parked && w.Until.IsZero() && !w.Due.After(q.j.now()) {
			w.Attempt++
			w.Until = q.j.now().Add(lease)
			claimed = append(claimed, *w)
		}
	}
	return claimed, nil
}

// Pending implements store.Queue.
func (q queue) Pending(_ context.Context, parked bool, _ int) ([]store.Work, error) {
	q.j.mu.Lock()
	defer q.j.mu.Unlock()
	var all []store.Work
	for _, w := range q.j.work {
		if w.Parked == parked {
			all = append(all, w)
		}
	}
	return all, nil
}

// NextDue implements store.Queue.
func (q queue) NextDue(context.Context) (due time.Time, ok bool, err error) {
	q.j.mu.Lock()
	defer q.j.mu.Unlock()
	for _, w := range q.j.work {
		if !w.Parked && w.Until.IsZero() && (!ok || w.Due.Before(due)) {
			due, ok = w.Due, true
		}
	}
	return due, ok, nil
}

// Events implements store.Audit for one exchange: Seq is the place in the journal.
func (q queue) Events(_ context.Context, query store.Query) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		q.j.mu.Lock()
		events := append([]kept(nil), q.j.events...)
		q.j.mu.Unlock()
		for i, e := range events {
			if e.exchange == query.Exchange && !yield(store.Event{Kind: e.Kind, Exchange: e.exchange, Seq: int64(i), At: q.j.now()}, nil) {
				return
			}
		}
	}
}

// Parts implements store.Audit.
func (q queue) Parts(_ context.Context, e store.Event) ([]store.Part, bool, error) {
	q.j.mu.Lock()
	defer q.j.mu.Unlock()
	return q.j.events[e.Seq].Parts, true, nil
}

// work makes the rig's traces that are due, until none is left, and waits for them.
func (r *rig) work(t *testing.T) {
	t.Helper()
	for {
		ctx, cancel := context.WithCancel(context.Background())
		places := make(chan struct{}, 8)
		r.claim(ctx, places)
		if err := r.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		due, ok, _ := r.Queue.NextDue(context.Background())
		if !ok || due.After(r.journal.now()) {
			return
		}
	}
}
