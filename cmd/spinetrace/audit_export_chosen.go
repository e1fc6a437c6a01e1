package main

import (
	"context"
	"iter"
	"time"

	"spinetrace/store"
)

// selection is which events are exported.
type selection struct {
	from, until time.Time // until is never zero
	chain       string    // "": all of them
	sought

	// Made by prepare:
	stories []store.ID    // of the patient, oldest first
	queries []store.Query // of everybody: where each chain is read from
}

// prepare finds where to read. Of a patient it keeps the ids of the exchanges; of everybody
// a number for each chain.
func (s *selection) prepare(ctx context.Context, db store.Store) error {
	heads, err := headsOf(ctx, db, s.chain)
	if err != nil {
		return err
	}
	if s.is() {
		return s.findExchanges(ctx, db)
	}
	for _, head := range heads {
		from, err := firstSince(ctx, db, head, s.from)
		if err != nil {
			return err
		}
		s.queries = append(s.queries, store.Query{Chain: head.Chain, From: from})
	}
	return nil
}

// findExchanges looks for the exchanges of the patient. One that began before the time may go on
// in it.
func (s *selection) findExchanges(ctx context.Context, db store.Store) (err error) {
	if err := s.widen(ctx, db); err != nil {
		return err
	}
	s.stories, err = s.exchanges(ctx, db, store.Search{Until: s.until})
	return err
}

// events yields the events: of everybody in the order of their times, of a patient exchange by
// exchange.
func (s *selection) events(ctx context.Context, db store.Audit) iter.Seq2[store.Event, error] {
	if !s.is() {
		return s.inTime(store.InOrder(ctx, db, s.queries...), true)
	}
	return func(yield func(store.Event, error) bool) {
		for _, id := range s.stories {
			for e, err := range s.inTime(db.Events(ctx, store.Query{Exchange: id}), false) {
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// inTime leaves out what is not of the chain, or not of the time. Where the events are in order, the
// first one that is too late is the last one read: a service goes on writing.
func (s *selection) inTime(events iter.Seq2[store.Event, error], ordered bool) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		for e, err := range events {
			if err == nil && !e.At.Before(s.until) && ordered {
				return
			}
			if err == nil && (e.At.Before(s.from) || !e.At.Before(s.until) || s.chain != "" && e.Chain != s.chain) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}
