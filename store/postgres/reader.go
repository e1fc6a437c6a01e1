package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"spinetrace/store"
)

// page is how many events one statement reads: a long snapshot would keep the database from
// cleaning up behind every update.
const page = 10_000

// Heads implements [store.Audit].
func (s *Store) Heads(ctx context.Context) ([]store.Head, error) {
	const q = `select c.name, e.seq, e.at, e.hash from chain c
		cross join lateral (select seq, at, hash from event where chain = c.id order by seq desc limit 1) e
		order by c.name`
	rows, err := s.reader.QueryContext(ctx, q)
	if err != nil {
		return nil, readError("heads", err)
	}
	var heads []store.Head
	err = scan(rows, func() error {
		var h store.Head
		var hash []byte
		if err := rows.Scan(&h.Chain, &h.Seq, &h.At, &hash); err != nil {
			return err
		}
		h.At = h.At.UTC()
		copy(h.Hash[:], hash)
		heads = append(heads, h)
		return nil
	})
	if err != nil {
		return nil, readError("heads", err)
	}
	return heads, nil
}

// Events implements [store.Audit].
func (s *Store) Events(ctx context.Context, q store.Query) iter.Seq2[store.Event, error] {
	if q.Exchange != (store.ID{}) {
		return s.exchangeEvents(ctx, q.Exchange)
	}
	return s.chainEvents(ctx, q.Chain, q.From)
}

func (s *Store) exchangeEvents(ctx context.Context, id store.ID) iter.Seq2[store.Event, error] {
	const q = `select c.name, e.seq, e.at, e.kind, e.exchange, e.doc, e.hash
		from event e join chain c on c.id = e.chain where e.exchange = $1
		order by e.at, e.chain, e.seq`
	return func(yield func(store.Event, error) bool) {
		events, err := s.events(ctx, q, id[:])
		if err != nil {
			yield(store.Event{}, readError("events", err))
			return
		}
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (s *Store) chainEvents(ctx context.Context, chain string, from int64) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		stop, pages := make(chan struct{}), make(chan eventPage)
		var reading sync.WaitGroup
		reading.Go(func() {
			defer close(pages)
			s.readPages(ctx, chain, from, pages, stop)
		})
		defer reading.Wait()
		defer close(stop)
		for p := range pages {
			s.ahead.turn(p.events)
			for _, e := range p.events {
				if !yield(e, nil) {
					return
				}
			}
			if p.err != nil {
				yield(store.Event{}, readError("events", p.err))
				return
			}
		}
	}
}

type eventPage struct {
	events []store.Event
	err    error
}

// readPages reads a chain, one page ahead of who consumes it, until its end, an error, or
// stop.
func (s *Store) readPages(ctx context.Context, chain string, from int64, pages chan<- eventPage, stop <-chan struct{}) {
	// Time never runs backwards along a chain: at spares the partitions already read.
	const q = `select $1::text, seq, at, kind, exchange, doc, hash from event
		where chain = $2 and seq >= $3 and at >= $4 order by seq limit $5`
	var id int16
	err := s.reader.QueryRowContext(ctx, "select id from chain where name = $1", chain).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return
	}
	since := time.Unix(0, 0)
	for last := false; !last; {
		var events []store.Event
		if err == nil {
			events, err = s.events(ctx, q, chain, id, from, since, page)
		}
		if last = err != nil || len(events) < page; !last {
			end := events[len(events)-1]
			from, since = end.Seq+1, end.At
		}
		select {
		case pages <- eventPage{events, err}:
		case <-stop:
			return
		}
	}
}

// events returns what a query does, all of it or nothing.
func (s *Store) events(ctx context.Context, query string, args ...any) (to []store.Event, err error) {
	rows, err := s.reader.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	err = scan(rows, func() error {
		var e store.Event
		var hash sql.RawBytes
		if err := rows.Scan(&e.Chain, &e.Seq, &e.At, &e.Kind, &e.Exchange, &e.Doc, &hash); err != nil {
			return err
		}
		e.At = e.At.UTC()
		copy(e.Hash[:], hash)
		to = append(to, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return to, nil
}

// Parts implements [store.Audit].
func (s *Store) Parts(ctx context.Context, e store.Event) (parts []store.Part, ok bool, err error) {
	k := keyOf(e)
	b, ok := s.ahead.take(k)
	if !ok {
		bodies, err := s.readBodies(ctx, s.ahead.next(k))
		if err != nil {
			return nil, false, readError("parts", err)
		}
		b = bodies[k]
		delete(bodies, k)
		s.ahead.keep(bodies)
	}
	if b.data == nil {
		return nil, false, nil
	}
	if parts, err = s.unpack(k.exchange, k.chain, b); err != nil {
		return nil, false, bodyError("parts", err)
	}
	return parts, true, nil
}

// Answer implements [store.Journal].
func (s *Store) Answer(ctx context.Context, exchange store.ID) (reply []byte, ok bool, err error) {
	const q = `select c.name, b.codec, b.key_id, b.data from body b join chain c on c.id = b.chain
		where b.exchange = $1 order by b.chain, b.seq`
	rows, err := s.reader.QueryContext(ctx, q, exchange[:])
	if err != nil {
		return nil, false, readError("answer", err)
	}
	var damaged error // of a body that may be the answer's
	err = scan(rows, func() error {
		var chain string
		var b body
		if err := rows.Scan(&chain, &b.codec, &b.key, &b.data); err != nil {
			return err
		}
		parts, err := s.unpack(exchange, chain, b)
		damaged = cmp.Or(damaged, err)
		if data, found := store.FindPart(parts, store.Reply); found {
			reply, ok = data, true
		}
		return nil
	})
	if err != nil {
		return nil, false, readError("answer", err)
	}
	if !ok && damaged != nil {
		return nil, false, bodyError("answer", damaged)
	}
	return reply, ok, nil
}

// bodyError says what was being done when a body could not be taken apart.
func bodyError(doing string, err error) error { return fmt.Errorf("postgres: %s: %w", doing, err) }
